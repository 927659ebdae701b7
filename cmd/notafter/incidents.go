package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
)

// incidentList is as much of the API's answer to GET /api/v1/incidents as the table shows.
type incidentList struct {
	Incidents []incident `json:"incidents"`
	Total     int        `json:"total"`
}

// defaultIncidents is how many the API gives to whoever does not say.
const defaultIncidents = 50

type incident struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	Stage      string     `json:"stage"`
	Reason     string     `json:"reason"`
	Since      time.Time  `json:"since"`
	Summary    string     `json:"summary"`
	AckedBy    string     `json:"acknowledged_by"`
	ResolvedAt *time.Time `json:"resolved_at"`
}

func (p *program) incidents() *cobra.Command {
	var o apiOptions
	var all bool
	var limit int
	var format string
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "List the incidents of a running notafter",
		Long: `incidents asks a running "notafter serve" for its open incidents, the worst first; with
--all for resolved ones too, the newest first.

Exit statuses: 0 answered, 1 not answered, 2 wrong use.`,
		Example: `  notafter incidents
  notafter incidents --all --output json
  NOTAFTER_TOKEN=... notafter incidents --server https://notafter.example.com`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return misuse("--output %q is not possible: want table or json", clip(format, 40))
			}
			if limit < 1 || limit > 500 {
				return misuse("--limit %d is not possible: want a number from 1 to 500", limit)
			}
			return p.runIncidents(cmd.Context(), o, all, limit, format)
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "resolved ones too")
	cmd.Flags().IntVar(&limit, "limit", defaultIncidents, "at most `N`")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "`FORMAT`: table, json")
	completed(cmd, "output", "table", "json")
	return cmd
}

func (p *program) runIncidents(ctx context.Context, o apiOptions, all bool, limit int, format string) error {
	api, err := p.api(o)
	if err != nil {
		return err
	}
	query := url.Values{}
	if limit != defaultIncidents {
		query.Set("limit", strconv.Itoa(limit))
	}
	if !all {
		query.Set("state", string(assure.Open))
	}
	var answer json.RawMessage
	if err := api.call(ctx, http.MethodGet, "/api/v1/incidents", query, nil, &answer); err != nil {
		return failed(err)
	}
	if format == "json" { // as the API has it, whatever this version knows of it
		b, err := encode(answer, "  ")
		if err != nil {
			return failed(err)
		}
		_, err = p.stdout.Write(b)
		return err
	}
	var list incidentList
	if err := json.Unmarshal(answer, &list); err != nil {
		return failed(fmt.Errorf("read answer: %w", err))
	}
	w := bufio.NewWriter(p.stdout)
	if len(list.Incidents) == 0 {
		_, _ = w.WriteString("No incidents.\n")
		return w.Flush()
	}
	rows := [][]string{{"INCIDENT", "STATE", "STAGE", "SINCE", "REASON", "SUMMARY"}}
	for _, i := range list.Incidents {
		rows = append(rows, []string{i.ID, stateOf(i), i.Stage, stampOf(i.Since), i.Reason, i.Summary})
	}
	columns(w, rows)
	if list.Total > len(list.Incidents) {
		_, _ = fmt.Fprintf(w, "\n%d of %d shown.\n", len(list.Incidents), list.Total)
	}
	return w.Flush()
}

func stateOf(i incident) string {
	if i.State == string(assure.Acked) && i.AckedBy != "" {
		return "taken by " + i.AckedBy
	}
	return i.State
}

func stampOf(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") }
