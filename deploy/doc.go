// Package deploy is how dbvalet is shipped and run: an image, manifests for Kubernetes with a kustomize
// component and a Helm chart, units of systemd and launchd, and what Prometheus and Grafana are to
// show. It has no code but tests, which read each file with the parser of the program that it is for,
// and have the built dbvalet check each configuration in it.
//
// It is a module of its own, so that Kubernetes' types and the others are no part of dbvalet's.
package deploy
