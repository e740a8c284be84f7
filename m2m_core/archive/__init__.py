"""Archive: all that made a report but the fields, in one file from which the report is made again elsewhere."""
