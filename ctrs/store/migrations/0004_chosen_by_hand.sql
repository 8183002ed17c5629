-- Of which scans a person, and no rule, chose the series: 'baseline', 'follow-up'.
ALTER TABLE pairs ADD COLUMN chosen_by_hand TEXT[] DEFAULT [];
