-- What came in and went out, cut, where the function has it kept.
ALTER TABLE _alyx_executions ADD COLUMN input_text TEXT;
ALTER TABLE _alyx_executions ADD COLUMN output_text TEXT;
