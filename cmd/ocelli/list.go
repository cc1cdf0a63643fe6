package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// printList writes what a command lists: as JSON, one object per line, or as a table, whose header and rows have tabs between their columns.
// In place of an empty table it writes none, a sentence.
func printList[T any](out io.Writer, all []T, asJSON bool, none, header string, row func(T) string) error {
	if asJSON {
		lines := json.NewEncoder(out)
		for _, one := range all {
			if err := lines.Encode(one); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, none)
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, header)
	for _, one := range all {
		fmt.Fprintln(t, row(one))
	}
	return t.Flush()
}
