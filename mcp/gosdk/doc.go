// Package gosdk serves an existing server of the official Go SDK
// (github.com/modelcontextprotocol/go-sdk) with the sessions, streams and
// memory of this project. What is registered with the *mcp.Server stays as it
// is; one line changes:
//
//	http.ListenAndServe(addr, mcp.NewStreamableHTTPHandler(…, nil))
//
// becomes
//
//	gosdk.Handler(srv).ListenAndServe(ctx, addr)
//
// or, with options, gosdk.Handler(srv).Serve(ctx, server.Options{…}).
//
// An idle client costs what it costs [mcp.Server]: a record of a few dozen
// bytes and no goroutine. A request connects a ServerSession of its own, runs
// the SDK's handlers with it on the worker that serves the request, and closes
// it: nothing of one client is ever in the hands of another, and a pointer that
// user code keeps leads to a closed session, not to somebody else's. Connecting
// costs 5 to 10 µs, a tenth of what the SDK takes for a call of a typed tool; a
// pool of sessions would save them and could not tell whose message it is that a
// goroutine sends which outlived its request. One more session, which lives as
// long as the server, hears of changes and tells those who listen.
//
// Unchanged: tools, prompts, resources, templates, completion, both eras of the
// protocol, receiving and sending middleware, custom methods, progress, log
// messages and levels, sampling, elicitation, roots, input-required results,
// list changes, ResourceUpdated, InitializedHandler and the other handlers of
// notifications, RequestExtra.Header and CloseSSEStream.
//
// What differs, and why:
//
//   - A *ServerSession is good for one request. Kept longer, it returns
//     mcp.ErrConnectionClosed: use the session of the request at hand, and
//     ResourceUpdated or a list change to reach all clients.
//   - Server.Sessions lists the requests that are being served and the listening
//     session, not the clients: those are not connected while they are idle.
//   - ServerOptions.KeepAlive is refused: there is no connected session to ping.
//     Dead clients are found by their connections, with keep-alive comments.
//   - ServerOptions.GetSessionID is refused: ids are 128 random bits, which the
//     table of sessions draws.
//   - One server for all: getServer(*http.Request) has no counterpart, because
//     sessions share the server's listening session. Serve several endpoints
//     with several servers, or choose by RequestExtra.Header inside.
//   - Handlers of net/http cannot be put in front (auth.RequireBearerToken),
//     since there is no net/http: RequestExtra.TokenInfo is nil. Check
//     RequestExtra.Header in a receiving middleware.
//   - A handler's messages go to the response of its request, whatever context
//     they are sent with; in the SDK, those with a foreign context go to the
//     session's GET stream.
//   - SubscribeHandler is called for every client that subscribes, and once more
//     for every URI, with the listening session, when the first client does;
//     UnsubscribeHandler when the last one is gone. A client whose session or
//     stream ends is not announced by itself, as in the SDK.
//   - InitializeParams of a session has the version agreed on. Of clients beyond
//     the first 4,096 kinds, which no honest crowd has, it has no ClientInfo.
//   - A question to a client that did not declare the capability is not sent: the
//     handler gets the error -32021.
//   - A tool's argument that a header repeats (x-mcp-header) is compared for tools
//     that the client may list.
//   - A handler that panics fails its call and not the process, where it runs on
//     our goroutine: not so in SubscribeHandler, UnsubscribeHandler and custom methods.
//   - ping, cancellations and subscriptions/listen are answered without the
//     server's receiving middleware, and it sees one initialize of the listening
//     session, whose client is called "rookery".
//   - ServerOptions.Logger hears at level info of every request's session, as it
//     does from the SDK's stateless mode.
//   - The EventStore of StreamableHTTPOptions, its timeouts and limits are those
//     of server.Options here.
//
// Everything exported is safe for concurrent use.
package gosdk
