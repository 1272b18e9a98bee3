package catalog

import (
	"context"
	"database/sql"
	"strings"
)

// HotQueries are the statements that requests wait for, as they would be
// asked for a version and the bucket it is in.
func HotQueries(v Version, bucket Index) map[string][]any {
	return map[string][]any{
		selectFound:          {v.Name[:], v.Tenant[:], bucket[:]},
		selectVersion:        {v.Tenant[:], v.Version[:]},
		selectSeen:           {v.Tenant[:], v.Version[:]},
		selectPartList:       {v.Tenant[:], v.Version[:]},
		selectSubject:        {v.Tenant[:], v.Name[:]},
		selectTerm:           {v.Tenant[:], v.Name[:]},
		selectHolder:         {v.Name[:], v.Tenant[:]},
		selectPages + "($3)": {v.Tenant[:], TreeDays, 1 << 40},
		selectOpen:           {v.Tenant[:], v.Version[:]},
		selectDirectory:      {v.Tenant[:], v.Directory[:]},
		strings.ReplaceAll(selectVersionsIn, "$DIR", "= $2"): {v.Tenant[:], v.Directory[:]},
		selectInside:                      {v.Tenant[:], v.Directory[:]},
		selectVersions + "($2)":           {v.Tenant[:], v.Version[:]},
		selectCredential:                  {"AK7"},
		selectToken:                       {v.Name[:]},
		selectFoundVersion:                {v.Name[:], v.Version[:], v.Tenant[:], bucket[:]},
		selectOpenBucket:                  {v.Tenant[:], v.Bucket[:]},
		selectStored:                      {v.Tenant[:], v.Recording[:]},
		insertAllowed + "0" + allowedOnce: append(v.Intent.row(), v.Intent.Stage),
		flipAllowed:                       append(Commit{Tenant: v.Tenant, Version: v.Version, Content: v.Content}.flipArgs(), Stage(0)),
	}
}

// SweepQueries are those of a sweep that could read a whole table.
func (c *Catalog) SweepQueries() map[string][]any {
	return map[string][]any{c.dialect.selectStalePuts(): {1000, 0, 100, 0}}
}

// ErasureQueries are those of erasures that could read a whole table, or all of
// a tenant.
func ErasureQueries(v Version) map[string][]any {
	return map[string][]any{
		selectAlso:         {v.Tenant[:], v.Name[:], 7},
		selectEraserOf(""): {v.Tenant[:], v.Recording[:]},
		selectErasure:      {v.Tenant[:], v.Version[:]},
		selectBelowSubject: {v.Tenant[:], 7, 10},
		selectBelowDay:     {v.Tenant[:], 7, 10},
		selectHeldSubject:  {v.Tenant[:], 7, 10},
		selectHeldDay:      {v.Tenant[:], 7, 10},
		selectKept:         {v.Tenant[:], v.Recording[:]},

		intendFiling + "0" + intendThere: Refiling{Tenant: v.Tenant, Version: v.Version}.args("b"),
		moveFiling:                       Refiling{Tenant: v.Tenant, Version: v.Version}.args([]byte("w")),
		selectFiling:                     Refiling{Tenant: v.Tenant, Version: v.Version}.own(),
		strings.ReplaceAll(selectFilingsOf, "$IN", "($1)"): {v.Version[:]},
		columned(selectFilingsBelow, TreeDays):             {v.Tenant[:], 7},
		columned(selectFilingsBelow, TreeSubjects):         {v.Tenant[:], 7},
		countMovedOut: {v.Tenant[:], 7},
		selectPassed:  {20_000, v.Tenant[:]},
	}
}

// GenerationQueries are those of rows that move, each for some of many.
func GenerationQueries(v Version) map[string][]any {
	queries := map[string][]any{
		selectToMove:           {v.Bucket[:], Committed, v.Version[:], v.Tenant[:], 10},
		selectMovable + "($2)": {v.Tenant[:], v.Version[:]},
		selectOrphan:           {v.Tenant[:], v.Version[:]},
		selectOfGeneration:     {2, v.Tenant[:], 7, v.Version[:], 10},
	}
	for _, which := range named {
		queries[updateName(which)] = []any{v.Name[:], v.Directory[:], v.Name[:], v.Tenant[:]}
	}
	for _, statement := range leftOvers {
		queries[statement] = []any{v.Tenant[:], 2, 10}
	}
	return queries
}

// EpochQueries are those of every epoch. What earlier ones took must not count.
func (c *Catalog) EpochQueries(v Version) map[string][]any {
	return map[string][]any{
		updatePunctured:             {v.Tenant[:]},
		updateEffective:             {v.Tenant[:]},
		selectOpenSlots:             {v.Tenant[:], 10},
		selectUnrecorded:            {v.Tenant[:]},
		selectUnsettled:             {v.Tenant[:], 10},
		selectBelowOwn:              {v.Tenant[:], 7, 10},
		selectBelowSubject:          {v.Tenant[:], 7, 10},
		selectBelowDay:              {v.Tenant[:], 7, 10},
		deleteOlderPages + "($4)":   {v.Tenant[:], TreeRecordings, 7, 1 << 40},
		c.dialect.selectToCertify(): {v.Tenant[:], 7, 0, 0, v.Version[:], 10},
		selectToUnlink:              {v.Tenant[:], 1, 0, 0, v.Version[:], 10},
		selectToEnd:                 {v.Tenant[:], 0, 0, v.Version[:], 10},
	}
}

// Explain gives the plan of a query, a line for each step.
func (c *Catalog) Explain(ctx context.Context, query string, args ...any) (string, error) {
	explain := "EXPLAIN "
	if c.dialect == sqlite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := c.reader.QueryContext(ctx, explain+query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	row := make([]any, len(columns))
	for i := range row {
		row[i] = new(sql.RawBytes)
	}
	var plan strings.Builder
	for rows.Next() {
		if err := rows.Scan(row...); err != nil {
			return "", err
		}
		plan.Write(*row[len(row)-1].(*sql.RawBytes)) // the last column is the text
		plan.WriteByte('\n')
	}
	return plan.String(), rows.Err()
}

// Exec runs a statement as it is.
func (c *Catalog) Exec(ctx context.Context, query string) error {
	_, err := c.writer.ExecContext(ctx, query)
	return err
}

// WriteSkew is what Check tries isolation with, at any level.
func WriteSkew(ctx context.Context, dsn string, level sql.IsolationLevel) (bool, error) {
	c, err := open(dsn)
	if err != nil {
		return false, err
	}
	defer c.Close()
	return writeSkew(ctx, c.writer, level)
}
