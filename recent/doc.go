// Package recent remembers what became of a route's connections lately, for people who look: how long
// the stages of their set-up took over the last quarter of an hour, and the last errors with their hints.
// Memory is bounded, however many connections there are: times are summed up in spans of half a minute,
// and an error that repeats is counted.
//
// What has to be complete is elsewhere: package metrics counts everything, and package audit has a line
// for each connection.
package recent
