// Package report is what a run of the suite leaves behind: named checks with
// their verdicts, series measured over time, and where and how they came about.
//
// A [Report] is written as JSON (its form is schema.json, which a test holds to
// the types), as a table for terminals ([Report.WriteTable]) and as one HTML
// file that needs nothing else ([Report.WriteHTML]). [Compare] sets two side by
// side. The package measures nothing and knows no server; it draws what it is
// given, and a verdict follows from the value and its limits alone.
package report
