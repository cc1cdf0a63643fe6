// Package archtest holds the rules of the tree as tests: which package may import which.
package archtest
