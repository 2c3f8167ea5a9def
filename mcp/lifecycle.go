package mcp

import (
	"context"

	"github.com/rookery-server/rookery/codec"
)

// The keys of _meta that the era without sessions uses.
const (
	metaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	metaClientInfo         = "io.modelcontextprotocol/clientInfo"
	metaServerInfo         = "io.modelcontextprotocol/serverInfo"
	metaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaLogLevel           = "io.modelcontextprotocol/logLevel"
	metaSubscriptionID     = "io.modelcontextprotocol/subscriptionId"
)

// serveInitialize creates the session, or takes one up (see takeup.go). A
// version we lack, or one that has no initialize, is answered with the latest
// that has (lifecycle, version negotiation); the client leaves if that is no good
// to it.
func serveInitialize(ctx context.Context, c *Call) error {
	if c.session != 0 {
		return errInitializeOnce
	}
	version, caps, client, meta := pick(c.params, "protocolVersion", "capabilities", "clientInfo", "_meta")
	name, ok := text(version)
	if !ok {
		return refuse(codec.CodeInvalidParams, "protocolVersion must be a string")
	}
	if caps != nil && !isObject(caps) || client != nil && !isObject(client) {
		return refuse(codec.CodeInvalidParams, "capabilities and clientInfo must be objects")
	}
	rev := parseRevision(name)
	if rev == RevisionUnknown || rev.modern() {
		rev = lastLegacy
	}
	resume, err := c.resumption(meta)
	switch {
	case err != nil:
		return err
	case resume.id != nil:
		err = c.takeUp(ctx, resume)
	default:
		err = c.begin(Session{
			Client: c.s.intern(client), Caps: parseCapabilities(caps), Protocol: rev, State: StateInitialized,
		}, resume.wanted)
		if err == nil {
			err = c.copied(ctx)
		}
	}
	if err != nil {
		return err
	}
	c.welcome(resume.wanted)
	return nil
}

// welcome writes the result of initialize.
func (c *Call) welcome(resumable bool) {
	s := c.s
	b := c.open()
	b = append(append(appendKey(b, "protocolVersion"), '"'), c.rev.String()...)
	b = append(b, '"')
	b = s.reg.Load().appendCapabilities(appendKey(b, "capabilities"))
	b = append(appendKey(b, "serverInfo"), s.info...)
	b = appendStringMember(b, "instructions", s.o.Instructions)
	if resumable {
		b = append(appendKey(b, "_meta"), `{"`+metaResume+`":{"sessionId":"`...)
		b = append(appendSessionID(b, c.who.id), `"}}`...)
	}
	c.close(b)
}

// begin makes sess the session of the call. One that is resumable outlives its
// TCP connection.
func (c *Call) begin(sess Session, resumable bool) error {
	if c.sink.tcp != nil {
		sess.Stream, sess.Flags = c.stream, flagTCP
	}
	if resumable {
		sess.Gets, sess.Flags = tcpStream, kindFlags
	}
	id, ref, err := c.s.o.Sessions.Create(sess)
	if err != nil {
		return errTooMany
	}
	sess.ID = id
	c.s.count.sessionsCreated.Add(1)
	c.session, c.rev = ref, sess.Protocol
	c.who = identity{sess.ID, sess.Client, sess.LogLevel}
	return nil
}

// copied waits until the session that has just begun would survive this process.
// With too many who wait it ends the session: its client would not know that it
// may be lost.
func (c *Call) copied(ctx context.Context) error {
	s := c.s
	if sess, ok := s.o.Sessions.Load(c.session); s.o.Copied == nil || c.sink.worker == nil || !ok || sess.Bound() {
		return nil
	}
	if c.sink.worker.Leave(false) != nil {
		if last, ok := s.o.Sessions.Delete(c.session); ok {
			s.endSession(c.session, last, ErrSessionEnded)
		}
		c.session = 0
		return errTooMany
	}
	defer c.sink.worker.Return()
	s.o.Copied(ctx, c.session)
	return nil
}

// intern turns a clientInfo object into a number.
func (s *Server) intern(info []byte) uint32 {
	if s.o.Intern == nil || info == nil {
		return 0
	}
	return s.o.Intern(clientName(info))
}

// clientName returns "name/version" of a clientInfo object, "" without a name.
func clientName(info []byte) string {
	rawName, rawVersion, _, _ := pick(info, "name", "version", "\x00", "\x00")
	name, ok := text(rawName)
	if !ok {
		return ""
	}
	version, _ := text(rawVersion)
	return string(name) + "/" + string(version)
}

func servePing(_ context.Context, c *Call) error {
	c.close(c.open())
	return nil
}

func serveSetLevel(_ context.Context, c *Call) error {
	name, _ := text(member(c.params, "level"))
	level, ok := parseLevel(name)
	if !ok {
		return refuse(codec.CodeInvalidParams, "unknown level")
	}
	if err := c.setLevel(level); err != nil {
		return err
	}
	c.close(c.open())
	return nil
}

// setLevel stores the least severe level of messages the client wants.
func (c *Call) setLevel(level Level) error {
	if e := c.s.updateHome(c.session, func(sess *Session) { sess.LogLevel = level }); e != nil {
		return e
	}
	return nil
}

func serveDiscover(_ context.Context, c *Call) error {
	b := c.cacheable(c.open(), c.s.listHint)
	b = append(appendKey(b, "supportedVersions"), supportedJSON...)
	b = c.s.reg.Load().appendCapabilities(appendKey(b, "capabilities"))
	b = c.s.reg.Load().appendExtensions(b)
	b = appendStringMember(b, "instructions", c.s.o.Instructions)
	c.close(b)
	return nil
}

// readMeta takes from a modern request's _meta what initialize used to say.
// claimed is the version the transport's header names, nil without one.
func (c *Call) readMeta(meta, claimed []byte) *codec.Error {
	var version, caps, level []byte
	for o := members(meta); ; {
		key, val, ok := o.next()
		if !ok {
			break
		}
		if hasEscape(key) {
			key = []byte(unescape(key))
		}
		switch string(key) {
		case metaProtocolVersion:
			version = val
		case metaClientCapabilities:
			caps = val
		case metaClientInfo:
			c.info = val
		case metaLogLevel:
			level = val
		case "progressToken":
			c.token = scalarToken(val)
		}
	}
	name, ok := text(version)
	if !ok {
		return refuse(codec.CodeInvalidParams, "missing or invalid _meta field "+metaProtocolVersion)
	}
	if claimed != nil && string(claimed) != string(name) {
		return refuse(CodeHeaderMismatch, "the MCP-Protocol-Version header differs from _meta field "+metaProtocolVersion)
	}
	if c.rev = parseRevision(name); !c.rev.modern() {
		return unsupportedVersion(name)
	}
	if !isObject(caps) {
		return refuse(codec.CodeInvalidParams, "missing or invalid _meta field "+metaClientCapabilities)
	}
	if c.info != nil && !isObject(c.info) {
		return refuse(codec.CodeInvalidParams, "invalid _meta field "+metaClientInfo)
	}
	c.caps = parseCapabilities(caps)
	if word, ok := text(level); ok {
		c.level, _ = parseLevel(word)
	}
	return nil
}

// readToken takes the progress token of a request with a session.
func (c *Call) readToken(meta []byte) {
	if !c.rev.modern() && meta != nil {
		c.token = scalarToken(member(meta, "progressToken"))
	}
}

// scalarToken returns token if it is a string or a number, else nil.
func scalarToken(token []byte) []byte {
	if len(token) == 0 || token[0] != '"' && token[0] != '-' && (token[0] < '0' || token[0] > '9') {
		return nil
	}
	return token
}

// unsupportedVersion lists the versions we speak beside the one asked for.
func unsupportedVersion(name []byte) *codec.Error {
	data := append([]byte(nil), `{"supported":`+supportedJSON...)
	data = codec.AppendString(appendKey(data, "requested"), string(name))
	return &codec.Error{Code: CodeUnsupportedVersion, Message: "unsupported protocol version", Data: append(data, '}')}
}
