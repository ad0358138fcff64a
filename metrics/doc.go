// Package metrics shows Prometheus what becomes of clients and credentials. What proxy and tokens count
// is read when somebody asks, so that there is one set of numbers, and a session pays for its counting
// with one addition for each piece that it relays. Only the times of set-ups are kept here.
//
// A route that is changed keeps its numbers: those of the server before are added to the server's that
// took its place. One that is removed loses them.
package metrics
