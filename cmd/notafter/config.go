package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
)

func (p *program) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Validate the configuration, or describe it to an editor",
		Example: `  notafter config check notafter.yaml
  notafter config schema > notafter.schema.json`,
		Args: commandOf,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.configCheck(), p.configSchema())
	return cmd
}

func (p *program) configCheck() *cobra.Command {
	var file, format string
	var secrets bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration and print what it would watch",
		Long: `check reads a configuration as serve would, without touching the network, and prints the claims that
would be watched. Every problem is named at once, one a line, as file:line:column: key: what is wrong. What is
allowed but rarely meant, a file under "issued" that cannot be read now, and a place under "install" that cannot
be written now, is a note in the same form.

Exit statuses: 0 sound, 2 not.`,
		Example: `  notafter config check notafter.yaml
  notafter config check --secrets notafter.yaml     # would serve start with these secrets?
  notafter config check --output json notafter.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				args = append([]string{file}, args...)
			}
			if len(args) != 1 {
				return misuse("want exactly one configuration file")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if file == "" {
				file = args[0]
			}
			return p.runConfigCheck(file, format, secrets)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the configuration `FILE`, as with serve")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "`FORMAT` of the claims: table, json")
	completed(cmd, "output", "table", "json")
	cmd.Flags().BoolVar(&secrets, "secrets", false, "also read the secrets and files that it refers to, and see that serve would take them; none is printed")
	return cmd
}

// claimJSON is one claim as "config check --output json" prints it.
type claimJSON struct {
	ID          assure.ClaimID `json:"id"`
	Link        assure.Link    `json:"link"`
	Certificate string         `json:"certificate,omitempty"`
	Subject     string         `json:"subject"`
	Route       string         `json:"route"`
	Channels    []string       `json:"channels"`
	Owner       string         `json:"owner,omitempty"`
	Every       assure.Seconds `json:"every_seconds"`
	Repair      assure.Seconds `json:"time_to_repair_seconds"`
}

func (p *program) runConfigCheck(file, format string, secrets bool) error {
	if format != "table" && format != "json" {
		return misuse("--output %q is not possible: want table or json", clip(format, 40))
	}
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	if secrets {
		if err := c.Resolve(); err != nil {
			return err
		}
		if err := app.Check(c); err != nil {
			return err
		}
	}
	for _, n := range slices.Concat(c.Notes(), c.IssuedNotes(), app.PlaceNotes(c)) {
		_, _ = fmt.Fprintln(p.stderr, clean(n.Marked("note")))
	}
	claims := c.Claims(p.now())
	routes := c.RouteChannels()
	if format == "json" {
		list := make([]claimJSON, 0, len(claims))
		for _, cl := range claims {
			list = append(list, claimJSON{cl.ID, cl.Link, cl.Certificate, cl.Subject, cl.Route, routes[cl.Route], cl.Owner, assure.Seconds(cl.Every), assure.Seconds(cl.TimeToRepair)})
		}
		b, err := encode(map[string]any{"claims": list}, "  ")
		if err != nil {
			return err
		}
		_, err = p.stdout.Write(b)
		return err
	}
	w := bufio.NewWriter(p.stdout)
	rows := [][]string{{"LINK", "CERTIFICATE", "SUBJECT", "EVERY", "ROUTE", "TELLS"}}
	endpoints := 0
	for _, cl := range claims {
		if cl.Link == assure.Serving {
			endpoints++
		}
		rows = append(rows, []string{string(cl.Link), dash(cl.Certificate), cl.Subject, config.Duration(cl.Every).String(), cl.Route, strings.Join(routes[cl.Route], ", ")})
	}
	columns(w, rows)
	_, _ = fmt.Fprintf(w, "\n%s is sound: %s at %s, %s, %s.\n", clean(file), count(len(c.Certificates), "certificate", "certificates"),
		count(endpoints, "endpoint", "endpoints"), count(len(c.Channels), "channel", "channels"), count(len(c.Routes), "route", "routes"))
	return w.Flush()
}

func (p *program) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration, for editors",
		Long: `schema prints a JSON Schema (draft 2020-12) of the configuration with the manual as descriptions. Editors with
a YAML language server use it through a comment in the first line of the file:

  # yaml-language-server: $schema=notafter.schema.json`,
		Example: "  notafter config schema > notafter.schema.json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := config.Schema()
			if err != nil {
				return failed(err)
			}
			_, err = p.stdout.Write(b)
			return err
		},
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// columns aligns rows, the first being the header.
func columns(w *bufio.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], min(cells(clean(cell)), 60))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(pad(clean(cell), widths[i]))
		}
		_, _ = w.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
