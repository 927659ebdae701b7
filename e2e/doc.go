// Package e2e holds tests of the whole path from a change in code to a page: real plans and applies of OpenTofu, through
// a provider of our own, against the Azure stand-in of the lab, judged by the program that this repository builds.
//
// It is a module of its own, so that who builds or imports notafter downloads nothing of this. See README.md.
package e2e
