// Package config is what a user writes to say what dbvalet serves: routes, each a URL argument. It
// reads and checks the form; whether a certificate file exists, or a cloud can be reached, is found
// out by those who need it.
//
// Every error names the route and the option, and has a hint with the next step. No error repeats a
// password.
package config
