// Package feed renders the published posts as RSS 2.0.
package feed

import (
	"encoding/xml"
	"time"

	"alyx.dev/alyx"
)

const newest = 20

type rss struct {
	XMLName xml.Name `xml:"rss"`
	Version string   `xml:"version,attr"`
	Channel channel  `xml:"channel"`
}

type channel struct {
	Title       string `xml:"title"`
	Link        string `xml:"link"`
	Description string `xml:"description"`
	Items       []item `xml:"item"`
}

type item struct {
	Title       string `xml:"title"`
	Link        string `xml:"link"`
	GUID        guid   `xml:"guid"`
	Published   string `xml:"pubDate"`
	Description string `xml:"description"`
}

type guid struct {
	IsPermaLink bool   `xml:"isPermaLink,attr"`
	ID          string `xml:",chardata"`
}

// Handler answers with the newest published posts.
func Handler(ctx *alyx.Context) (any, error) {
	page, err := ctx.DB.List("posts", alyx.Query{
		Filter: []string{"status:eq:published"},
		Sort:   []string{"-published_at"},
		Limit:  newest,
	})
	if err != nil {
		return nil, err
	}
	link := ctx.Env["LINK"]
	feed := rss{Version: "2.0", Channel: channel{Title: ctx.Env["TITLE"], Link: link, Description: "Newest posts"}}
	for _, post := range page.Docs {
		feed.Channel.Items = append(feed.Channel.Items, item{
			Title:       text(post, "title"),
			Link:        link + "/posts/" + text(post, "slug"),
			GUID:        guid{ID: text(post, "id")},
			Published:   date(text(post, "published_at")),
			Description: text(post, "body"),
		})
	}
	body, err := xml.MarshalIndent(feed, "", "  ")
	if err != nil {
		return nil, err
	}
	headers := map[string]string{"content-type": "application/rss+xml; charset=utf-8"}
	return ctx.Respond(200, headers, xml.Header+string(body)+"\n"), nil
}

func text(post alyx.Document, field string) string {
	value, _ := post[field].(string)
	return value
}

// date turns a timestamp of a document into the form that RSS asks for.
func date(timestamp string) string {
	parsed, err := time.Parse(time.RFC3339Nano, timestamp)
	if err != nil {
		return ""
	}
	return parsed.UTC().Format(time.RFC1123Z)
}
