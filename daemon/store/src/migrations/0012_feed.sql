-- The change feed can be followed from this number on. A change of the schema that altered documents
-- without telling so in the feed moves it.
ALTER TABLE _alyx_schema ADD COLUMN feed_from INTEGER NOT NULL DEFAULT 0;
