package bench

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/rookery-server/rookery/memprof"
)

// Geometry of the picture, in pixels.
const (
	pictureWidth  = 860
	labelWidth    = 190 // names of bars
	barsRight     = 540 // figures stand to the right of it
	barHeight     = 22
	barStep       = 34
	legendStep    = 20
	sectionMargin = 46
)

// partMin is the share of a bar below which a component is drawn with others.
const partMin = 0.03

const otherPart = "everything else"

// hues are told apart on white and on black, and by most colour-blind people
// (after Okabe and Ito).
var hues = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a200", "#8c6bb1", "#7f7f7f"}

// picture draws the report as an SVG that follows the reader's light or dark
// scheme: stacked components of one client of ours, and below the averages of
// all servers on a logarithmic scale.
func (r *MemReport) picture() []byte {
	d := &drawing{y: 34}
	d.text(16, "title", "What an idle client costs a server")
	d.y += 20
	d.text(16, "small", fmt.Sprintf("RssAnon + RssShmem, medians. %s. %s", r.Taken.Format("2006-01-02"), r.Machine))
	d.stacks(r.Rows)
	d.averages(r.Rows)
	return d.svg()
}

// drawing is an SVG that grows downwards.
type drawing struct {
	body strings.Builder
	y    float64 // where the next element goes
}

func (d *drawing) svg() []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %[1]d %.0[2]f" role="img" font-family="system-ui, sans-serif">
<style>
.ground { fill: #ffffff } text { fill: #1f2328; font-size: 13px } .title { font-size: 18px; font-weight: 600 }
.head { font-weight: 600 } .small { fill: #59636e; font-size: 12px } .ours { fill: #0072b2 } .theirs { fill: #9aa4af } .grid { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) { .ground { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } .theirs { fill: #656d76 } .grid { stroke: #30363d } }
</style>
<rect class="ground" width="100%%" height="100%%"/>
%s</svg>
`, pictureWidth, d.y+16, d.body.String())
}

func (d *drawing) text(x float64, class, text string) { d.textAt(x, d.y, class, text) }

func (d *drawing) textAt(x, y float64, class, text string) {
	fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, escape(text))
}

// rect draws a box; paint is an attribute, such as a class or a fill.
func (d *drawing) rect(x, width float64, paint, title string) {
	fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" %s><title>%s</title></rect>`+"\n",
		x, d.y, width, barHeight, paint, escape(title))
}

func escape(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s)) // a Builder takes everything
	return out.String()
}

// groups joins rows that the runtime moves bytes between: garbage becomes free
// pages, free pages become objects. Each alone says little about a client.
var groups = map[string]string{
	memprof.HeapOther:   "heap beside the components",
	memprof.HeapGarbage: "heap beside the components",
	memprof.HeapUnused:  "heap beside the components",
	memprof.HeapFree:    "heap beside the components",
	memprof.RuntimeMeta: "runtime",
	memprof.RuntimeRest: "runtime",
}

// parts returns what of r is drawn, grouped, and the sum of all components.
// What shrank cannot be drawn in a stack: less is the sum of that.
func parts(r *MemRow) (list []PerEach, sum, less float64) {
	var grouped []PerEach
	for _, c := range r.Components {
		sum += c.Bytes
		c.Name = cmp.Or(groups[c.Name], c.Name)
		if i := slices.IndexFunc(grouped, func(g PerEach) bool { return g.Name == c.Name }); i >= 0 {
			grouped[i].Bytes += c.Bytes
		} else {
			grouped = append(grouped, c)
		}
	}
	rest := PerEach{Name: otherPart}
	for _, c := range grouped {
		switch {
		case c.Bytes < 0:
			less += c.Bytes
		case c.Bytes < partMin*sum:
			rest.Bytes += c.Bytes
		default:
			list = append(list, c)
		}
	}
	if rest.Bytes > 0 {
		list = append(list, rest)
	}
	return list, sum, less
}

// stacks draws a stacked bar for each row that has an account.
func (d *drawing) stacks(rows []MemRow) {
	var longest float64
	var names []string // in the order of their colours
	for i := range rows {
		list, sum, less := parts(&rows[i])
		longest = max(longest, sum-less)
		for _, c := range list {
			if !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	if longest == 0 {
		return
	}
	d.section("Bytes a client by component (growth of a whole process, from none to all clients)")
	for i := range rows {
		if len(rows[i].Components) > 0 {
			d.stack(&rows[i], names, longest)
		}
	}
	d.y += 6
	for i, name := range names {
		x := 16 + float64(i%3)*280
		fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="11" height="11" rx="2" fill="%s"/>`+"\n", x, d.y-10, hue(i))
		d.text(x+17, "small", name)
		if i%3 == 2 && i < len(names)-1 {
			d.y += legendStep
		}
	}
	d.y += legendStep
}

func hue(i int) string { return hues[i%len(hues)] }

func (d *drawing) section(title string) {
	d.y += sectionMargin - barStep/2
	d.text(16, "head", title)
	d.y += barStep / 2
}

func (d *drawing) stack(r *MemRow, names []string, longest float64) {
	list, sum, less := parts(r)
	d.textAt(16, d.y+16, "", r.Server+" "+string(r.Kind))
	x := float64(labelWidth)
	for _, c := range list {
		width := c.Bytes / longest * (barsRight - labelWidth)
		fill := fmt.Sprintf(`fill="%s"`, hue(slices.Index(names, c.Name)))
		d.rect(x, width, fill, fmt.Sprintf("%s: %.0f bytes", c.Name, c.Bytes))
		x += width
	}
	label := figure(sum) + " B"
	if less <= -partMin*sum {
		label = fmt.Sprintf("%s (%s B less elsewhere)", label, figure(-less))
	}
	if r.Kernel != nil {
		label += fmt.Sprintf(" + %s B kernel", figure(r.Kernel.Median))
	}
	d.textAt(x+8, d.y+16, "small", label)
	d.y += barStep
}

// averages draws the averages of all rows, whose lengths are logarithms from
// 10 bytes to 100 KB.
func (d *drawing) averages(rows []MemRow) {
	const low, decades = 10.0, 4.0
	width := func(v float64) float64 {
		return max(2, min(1, math.Log10(max(v, low)/low)/decades)*(barsRight-labelWidth))
	}
	d.section("Average bytes a client beside other servers (logarithmic)")
	top := d.y
	d.y += 14
	for i := range rows {
		r := &rows[i]
		class := `class="theirs"`
		if r.Components != nil {
			class = `class="ours"`
		}
		d.textAt(16, d.y+16, "", r.Server+" "+string(r.Kind))
		w := width(r.Average.Median)
		d.rect(labelWidth, w, class, figure(r.Average.Median)+" bytes")
		label := fmt.Sprintf("%s B (one more: %s B), %s clients",
			figure(r.Average.Median), figure(r.Slope.Median), thousands(r.Points[len(r.Points)-1].Clients))
		d.textAt(labelWidth+w+8, d.y+16, "small", label)
		d.y += barStep
	}
	for v := low; v <= low*math.Pow(10, decades); v *= 10 {
		x := labelWidth + math.Log10(v/low)/decades*(barsRight-labelWidth)
		fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1[1]f" y1="%.1f" y2="%.1f" class="grid" stroke-dasharray="2 4"/>`+"\n", x, top+14, d.y)
		d.textAt(x-8, top+8, "small", thousands(int64(v)))
	}
}
