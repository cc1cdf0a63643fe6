package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/access"
)

// keysName is the file of the API keys in a data folder.
const keysName = "keys.json"

// keysCommand is what the commands under `ocelli keys` share.
type keysCommand struct {
	data, file string
	asJSON     bool
}

func newKeysCommand() *cobra.Command {
	var k keysCommand
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke API keys",
		Long: "Keys manages who may use a service. A service that others than its own machine can reach asks for keys; see `ocelli up --help`.\n" +
			"Changes take effect within a second, without a restart.",
		Example: "  ocelli keys create --label 'photo desk' --images-per-day 100000\n  ocelli keys list\n  ocelli keys revoke OCK…",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := cmd.PersistentFlags()
	f.StringVar(&k.data, "data", defaultData, "the data `FOLDER` of the service")
	f.StringVar(&k.file, "keys", "", "`FILE` of the keys (keys.json in the data folder)")
	f.BoolVar(&k.asJSON, "json", false, "print JSON, one object per line")
	cmd.AddCommand(k.create(), k.list(), k.revoke())
	return cmd
}

func (k *keysCommand) path() (string, error) {
	if k.file != "" {
		return filepath.Abs(k.file)
	}
	return filepath.Abs(filepath.Join(k.data, keysName))
}

// newKey is what is shown of a new key, once.
type newKey struct {
	access.Key
	Text   string `json:"key"`
	Secret string `json:"secret_access_key"`
}

func (k *keysCommand) create() *cobra.Command {
	var key access.Key
	var scopes []string
	var expires age
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and show it, once",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range scopes {
				key.Scopes = append(key.Scopes, access.Scope(s))
			}
			now := time.Now()
			if expires > 0 {
				at := now.Add(time.Duration(expires)).UTC().Truncate(time.Second)
				key.Expires = &at
			}
			if err := key.Validate(); err != nil {
				return usageError{err}
			}
			path, err := k.path()
			if err != nil {
				return err
			}
			made := newKey{}
			made.Key, made.Text = access.NewKey(key, now)
			// The secret first: a key that was stored and then not shown would be of no use to anybody.
			if made.Secret, err = access.SigningSecretOf(path, made.ID); err != nil {
				return err
			}
			err = access.Edit(path, func(keys []access.Key) ([]access.Key, error) { return append(keys, made.Key), nil })
			if err != nil {
				return err
			}
			return k.printNew(cmd.OutOrStdout(), made)
		},
	}
	f := cmd.Flags()
	f.StringVar(&key.Label, "label", "", "what people call the key")
	f.StringVar(&key.Owner, "owner", "", "whose jobs these are: keys of one `NAME` see the same jobs (each key its own)")
	f.StringSliceVar(&scopes, "scope", []string{"submit", "read"}, "what the key allows: submit, read, admin (which sees everybody's jobs)")
	f.Float64Var(&key.Rate, "rate", 0, "requests per second, on average; 0 is no limit")
	f.Int64Var(&key.Quota, "images-per-day", 0, "images of a day (UTC); 0 is no limit")
	f.Var(&expires, "expires", "how long the key is valid, like 90d or 12h; 0 is for ever")
	return cmd
}

func (k *keysCommand) printNew(out io.Writer, made newKey) error {
	if k.asJSON {
		return json.NewEncoder(out).Encode(made)
	}
	_, err := fmt.Fprintf(out, `%s

This is the key, shown once: only its hash is kept. Send it as "Authorization: Bearer KEY" or sign in with it on the page;
commands take it from OCELLI_KEY.

  id       %s   (names the key in `+"`ocelli keys list`"+`)
  AWS SDKs access key id %s, secret access key %s
`, made.Text, made.ID, made.ID, made.Secret)
	return err
}

func (k *keysCommand) list() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys, without what is secret",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := k.path()
			if err != nil {
				return err
			}
			keys, err := access.List(path)
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), keys, k.asJSON, "There are no keys: make one with `ocelli keys create`.",
				"ID\tSTATE\tSCOPES\tOWNER\tLIMITS\tCREATED\tEXPIRES\tLABEL", keyRow)
		},
	}
}

func keyRow(key access.Key) string {
	scopes := make([]string, len(key.Scopes))
	for i, s := range key.Scopes {
		scopes[i] = string(s)
	}
	expires := "never"
	if key.Expires != nil {
		expires = key.Expires.Local().Format(time.DateOnly)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", key.ID, key.State(time.Now()), strings.Join(scopes, ","), key.Owner,
		limitsOf(key), key.Created.Local().Format(time.DateOnly), expires, printable(key.Label))
}

func limitsOf(k access.Key) string {
	var limits []string
	if k.Rate > 0 {
		limits = append(limits, fmt.Sprintf("%g/s", k.Rate))
	}
	if k.Quota > 0 {
		limits = append(limits, fmt.Sprintf("%d images/day", k.Quota))
	}
	if len(limits) == 0 {
		return "none"
	}
	return strings.Join(limits, ", ")
}

func (k *keysCommand) revoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID…",
		Short: "Make keys invalid, and end the sessions of those who signed in with them",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("name the keys by their ids: `ocelli keys list` shows them")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := k.path()
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("there are no keys in %s: name the service's folder with --data, or the file with --keys", path)
			}
			err = access.Edit(path, func(keys []access.Key) ([]access.Key, error) { return keys, disable(keys, args) })
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "Revoked %s.\n", strings.Join(args, ", "))
			}
			return err
		},
	}
}

// disable marks the keys with the ids, or none where one is missing.
func disable(keys []access.Key, ids []string) error {
	place := map[string]int{}
	for i, key := range keys {
		place[key.ID] = i
	}
	for _, id := range ids {
		if _, ok := place[id]; !ok {
			return fmt.Errorf("there is no key %q, and nothing was revoked: `ocelli keys list` shows the ids", id)
		}
	}
	for _, id := range ids {
		keys[place[id]].Disabled = true
	}
	return nil
}
