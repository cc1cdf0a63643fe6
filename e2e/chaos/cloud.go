package main

import "errors"

// lacksCloud says why the service cloud cannot be run, or nothing.
func lacksCloud(*machine) string { return "its servers are not driven yet" }

func raiseCloud(*service, *machine) error { return errors.New("not yet") }

type sqsServer struct{}

func (*sqsServer) end()          {}
func (*sqsServer) kinds() []kind { return nil }
