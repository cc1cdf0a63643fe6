package ocelli

import "strings"

// formulaStarts are what a spreadsheet takes for the beginning of a formula.
const formulaStarts = "=+-@\t\r"

// Cell makes text that a stranger chose fit for a cell of a table: a spreadsheet must not run it as a formula
// (https://owasp.org/www-community/attacks/CSV_Injection).
func Cell(text string) string {
	if text != "" && strings.ContainsRune(formulaStarts+"'", rune(text[0])) {
		return "'" + text
	}
	return text
}

// Uncell returns the text of which [Cell] made a cell.
func Uncell(cell string) string { return strings.TrimPrefix(cell, "'") }
