package server

// family says what a metric is. No metric ever carries an id as a label.
type family struct{ kind, help string }

// families are all metrics of /metrics.
var families = map[string]family{
	"rookery_build_info":     {"gauge", "Version of the program, of Go and the kind of event loop; always 1."},
	"rookery_uptime_seconds": {"gauge", "Time since the server started."},

	"rookery_connections":               {"gauge", "Open connections by protocol and state; a stream is an HTTP response held open."},
	"rookery_connections_buffered":      {"gauge", "Connections that hold a buffer for an unfinished message, waiting requests or output."},
	"rookery_accepts_total":             {"counter", "Connections accepted."},
	"rookery_accept_errors_total":       {"counter", "Accepts that failed."},
	"rookery_accept_pauses_total":       {"counter", "Times accepting paused for want of descriptors."},
	"rookery_closes_total":              {"counter", "Connections closed, by reason."},
	"rookery_slow_clients_closed_total": {"counter", "Clients closed because they did not read."},

	"rookery_received_bytes_total":    {"counter", "Bytes read from clients."},
	"rookery_sent_bytes_total":        {"counter", "Bytes written to clients."},
	"rookery_held_bytes":              {"gauge", "Bytes in buffers of connections: input not handled yet, output the kernel did not take."},
	"rookery_read_pauses_total":       {"counter", "Times reading from a connection paused, by cause."},
	"rookery_loops":                   {"gauge", "Event loops."},
	"rookery_loop_connections":        {"gauge", "Open connections, by loop."},
	"rookery_loop_lag_seconds":        {"histogram", "Lateness of a loop's clock tick, by loop."},
	"rookery_loop_batch_seconds":      {"histogram", "Time a loop spent on one batch of events, by loop."},
	"rookery_messages_received_total": {"counter", "Messages received: JSON-RPC lines, HTTP requests."},
	"rookery_messages_sent_total":     {"counter", "Messages sent: JSON-RPC replies, HTTP responses, and what the server pushed."},
	"rookery_malformed_total":         {"counter", "Messages that could not be read."},

	"rookery_unknown_methods_total": {"counter", "JSON-RPC requests for methods that do not exist."},
	"rookery_cancellations_total":   {"counter", "JSON-RPC calls cancelled by their clients."},
	"rookery_handler_seconds":       {"histogram", "Time handlers took, by kind and by where they ran."},
	"rookery_handler_errors_total":  {"counter", "JSON-RPC handlers that returned an error or panicked."},
	"rookery_handler_panics_total":  {"counter", "JSON-RPC handlers that panicked."},
	"rookery_queue_wait_seconds":    {"histogram", "Time messages waited for a worker."},
	"rookery_requests_shed_total":   {"counter", "Requests answered with overloaded, by cause."},

	"rookery_worker_records_total": {"counter", "Messages handed to workers."},
	"rookery_loop_panics_total":    {"counter", "Panics outside of handlers; each closed its connection."},
	"rookery_ring_depth":           {"gauge", "Connections waiting for a worker."},
	"rookery_ring_capacity":        {"gauge", "Bound of rookery_ring_depth."},
	"rookery_workers":              {"gauge", "Handlers running, and those waiting for something outside of the count."},
	"rookery_workers_limit":        {"gauge", "Bound of running handlers."},
	"rookery_calls_in_flight":      {"gauge", "Calls whose handler runs or waits on a worker."},
	"rookery_questions_open":       {"gauge", "Questions to clients that are not answered yet."},

	"rookery_sessions":                     {"gauge", "MCP sessions."},
	"rookery_sessions_created_total":       {"counter", "MCP sessions created."},
	"rookery_sessions_ended_total":         {"counter", "MCP sessions ended."},
	"rookery_sessions_unknown_total":       {"counter", "Requests that named no session of this server."},
	"rookery_mcp_messages_total":           {"counter", "MCP messages received, by kind."},
	"rookery_mcp_requests_total":           {"counter", "MCP requests finished, by outcome."},
	"rookery_mcp_panics_total":             {"counter", "MCP handlers that panicked."},
	"rookery_mcp_invalid_arguments_total":  {"counter", "Calls whose arguments broke their schema."},
	"rookery_mcp_refused_total":            {"counter", "Exchanges refused before or instead of a handler, by cause."},
	"rookery_mcp_streams_opened_total":     {"counter", "Streams opened by clients."},
	"rookery_mcp_notifications_sent_total": {"counter", "Notifications sent to clients."},
	"rookery_mcp_notifications_lost_total": {"counter", "Notifications whose client was gone or too slow."},
	"rookery_mcp_subscriptions":            {"gauge", "Subscriptions to resources."},
	"rookery_mcp_topics":                   {"gauge", "Resources somebody subscribed to."},
	"rookery_mcp_listens":                  {"gauge", "Open subscriptions/listen streams."},

	"rookery_memory_bytes":          {"gauge", "Resident memory by component; the components add up to it."},
	"rookery_memory_returns_total":  {"counter", "Times idle memory was given back to the system."},
	"process_resident_memory_bytes": {"gauge", "Resident memory of the process."},
	"process_cpu_seconds_total":     {"counter", "Processor time of the process."},
	"go_goroutines":                 {"gauge", "Goroutines of the process."},
	"go_heap_live_bytes":            {"gauge", "Heap marked live by the last collection."},
	"go_heap_goal_bytes":            {"gauge", "Heap size at which the next collection ends."},
	"go_gc_cycles_total":            {"counter", "Collections completed."},
	"go_gc_pause_seconds":           {"histogram", "Pauses of the garbage collector."},
}
