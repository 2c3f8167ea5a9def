package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"
)

// errStranger is what a peer gets that proves possession of no key of ours.
var errStranger = errors.New("cluster: the other end has another key")

// TLS returns the configuration for links of peers that share these keys: an
// Ed25519 key pair derived from the first secret, in a certificate that nobody
// has to trust, because each end accepts exactly the public keys derived from
// its own secrets. TLS 1.3 makes both ends sign the handshake, so both prove
// that they have the secret without showing it, and all traffic is encrypted.
// Dates are not looked at: no clock decides who is a member.
func (k *Keys) TLS() (*tls.Config, error) {
	var accepted []ed25519.PublicKey
	for _, secret := range k.secrets {
		accepted = append(accepted, pairOf(secret).Public().(ed25519.PublicKey))
	}
	cert, err := selfSigned(pairOf(k.secrets[0]))
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c := linkTLS()
	c.Certificates = []tls.Certificate{cert}
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errStranger
		}
		for _, key := range accepted {
			if key.Equal(s.PeerCertificates[0].PublicKey) {
				return nil
			}
		}
		return errStranger
	}
	return c, nil
}

func pairOf(secret []byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(derive(secret, labelTLS))
}

func selfSigned(pair ed25519.PrivateKey) (tls.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, pair.Public(), pair)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: pair}, err
}

// linkTLS is what both kinds of identity have in common. The name of the server
// is not compared (nodes have addresses, and the Hello names who is meant), so
// VerifyConnection does all the judging; it has to be set.
func linkTLS() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true,
		// A resumed session would save a millisecond and keep the trust of
		// yesterday.
		SessionTicketsDisabled: true,
		// Links carry batches: small records would only cost.
		DynamicRecordSizingDisabled: true,
	}
}

// CertFiles names the files of a node's identity in PEM: certificate with its
// chain, private key, and the certificates of the authority that signs those of
// all members. Use an authority that signs nothing else: whoever it signed is a
// member, whatever name the certificate has.
type CertFiles struct{ Cert, Key, CA string }

// TLS returns the configuration for links of peers that know each other by
// certificates. The files are read at once, and again for every handshake, so
// that they may be replaced while the process runs; if they cannot be read then,
// the last good ones serve on. Certificates have to be valid in time, and for
// both client and server authentication if they say what for.
func (f CertFiles) TLS() (*tls.Config, error) {
	id := &certIdentity{files: f}
	if err := id.load(); err != nil {
		return nil, err
	}
	c := linkTLS()
	c.ClientAuth = tls.RequireAnyClientCert
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.certificate(), nil }
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.certificate(), nil }
	c.VerifyConnection = id.verify
	return c, nil
}

// certIdentity is what the files of a CertFiles held last.
type certIdentity struct {
	files CertFiles
	mu    sync.Mutex
	cert  *tls.Certificate // guarded by mu
	roots *x509.CertPool   // guarded by mu
}

func (id *certIdentity) load() error {
	cert, err := tls.LoadX509KeyPair(id.files.Cert, id.files.Key)
	if err != nil {
		return fmt.Errorf("cluster: certificate of this node: %w", err)
	}
	text, err := os.ReadFile(id.files.CA)
	if err != nil {
		return fmt.Errorf("cluster: certificate of the authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("cluster: no certificate of an authority in %s", id.files.CA)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.cert, id.roots = &cert, roots
	return nil
}

func (id *certIdentity) certificate() *tls.Certificate {
	// An error may be half of a replacement; the next handshake sees the whole.
	_ = id.load()
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.cert
}

func (id *certIdentity) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errStranger
	}
	// An end that dials judges before it is asked for its own certificate.
	_ = id.load()
	id.mu.Lock()
	roots := id.roots
	id.mu.Unlock()
	chain := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		chain.AddCert(cert)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: chain, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			return fmt.Errorf("cluster: certificate of the other end: %w", err)
		}
	}
	return nil
}
