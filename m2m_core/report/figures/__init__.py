"""The figures of the report, one file each: results of one experiment -> matplotlib figure."""
