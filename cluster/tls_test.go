package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	der  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key, der}
}

// write puts a fresh identity into dir.
func (a *authority) write(dir string, change func(*x509.Certificate)) CertFiles {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	f := CertFiles{filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")}
	for path, block := range map[string]*pem.Block{
		f.Cert: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}, f.CA: {Type: "CERTIFICATE", Bytes: a.der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return f
}

func certTLS(t *testing.T, f CertFiles) *tls.Config {
	t.Helper()
	c, err := f.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake does a handshake and returns what each end says of it.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	l := meshListen(t, false)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			s := tls.Server(c, server)
			if err = s.Handshake(); err == nil {
				_, err = s.Write([]byte("x"))
			}
			farewell(c)
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	raw.Close()
	return clientErr, <-done
}

func TestCertificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	good := certTLS(t, ours.write(t.TempDir(), nil))
	for name, c := range map[string]struct {
		peer *tls.Config
		ok   bool
	}{
		"same authority":    {certTLS(t, ours.write(t.TempDir(), nil)), true},
		"no stated usage":   {certTLS(t, ours.write(t.TempDir(), func(c *x509.Certificate) { c.ExtKeyUsage = nil })), true},
		"another authority": {certTLS(t, theirs.write(t.TempDir(), nil)), false},
		"expired": {certTLS(t, ours.write(t.TempDir(), func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		})), false},
		"only for servers": {certTLS(t, ours.write(t.TempDir(), func(c *x509.Certificate) {
			c.ExtKeyUsage = c.ExtKeyUsage[:1]
		})), false},
		"a shared key": {keysTLS(t, testKeys), false},
	} {
		// An end may get through with its own half; what counts is that not
		// both do.
		c1, s1 := shake(t, good, c.peer)
		c2, s2 := shake(t, c.peer, good)
		if ok := c1 == nil && s1 == nil && c2 == nil && s2 == nil; ok != c.ok {
			t.Errorf("%s: %v, %v; %v, %v", name, c1, s1, c2, s2)
		}
		if !c.ok && (c1 == nil && s1 == nil || c2 == nil && s2 == nil) {
			t.Errorf("%s: one way let it in", name)
		}
	}
}

// Neither a certificate, nor TLS 1.2.
func TestIdentityIsNeeded(t *testing.T) {
	for name, server := range map[string]*tls.Config{
		"key": keysTLS(t, testKeys), "certificate": certTLS(t, newAuthority(t).write(t.TempDir(), nil)),
	} {
		if _, err := shake(t, &tls.Config{InsecureSkipVerify: true}, server); err == nil {
			t.Errorf("%s: let in a client without a certificate", name)
		}
		old := server.Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if _, err := shake(t, old, server); err == nil {
			t.Errorf("%s: spoke TLS 1.2", name)
		}
	}
}

// Files are replaced while the process runs; half a replacement changes nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	files := first.write(dir, nil)
	c := certTLS(t, files)
	if err := os.WriteFile(files.Key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	peer := certTLS(t, first.write(t.TempDir(), nil))
	if c1, s1 := shake(t, c, peer); c1 != nil || s1 != nil {
		t.Errorf("the last good identity does not serve: %v, %v", c1, s1)
	}
	second.write(dir, nil)
	peer = certTLS(t, second.write(t.TempDir(), nil))
	if c1, s1 := shake(t, c, peer); c1 != nil || s1 != nil {
		t.Errorf("dialling, the new identity does not serve: %v, %v", c1, s1)
	}
	if c1, s1 := shake(t, peer, c); c1 != nil || s1 != nil {
		t.Errorf("accepting, the new identity does not serve: %v, %v", c1, s1)
	}
	for _, path := range []string{files.Cert, files.CA} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := files.TLS(); err == nil {
			t.Errorf("took an empty %s", path)
		}
		second.write(dir, nil)
	}
	if err := os.Remove(files.CA); err != nil {
		t.Fatal(err)
	}
	if _, err := files.TLS(); err == nil {
		t.Error("took no authority")
	}
}
