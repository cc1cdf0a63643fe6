//go:build !linux

package main

func computeAsBatch() {}
