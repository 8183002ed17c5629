-- What an imported table says of a patient whose scans are not here. A reading of a pair of scans
-- (`responses`) goes before it.
CREATE TABLE readings (
    patient          TEXT PRIMARY KEY,
    recist           TEXT CHECK (recist IN ('CR', 'PR', 'SD', 'PD', 'NE')),
    sum_baseline_mm  DOUBLE CHECK (sum_baseline_mm >= 0),
    sum_follow_up_mm DOUBLE CHECK (sum_follow_up_mm >= 0),
    new_lesions      INTEGER CHECK (new_lesions >= 0),
    volume_change    DOUBLE CHECK (volume_change >= -1),
    interval_days    INTEGER CHECK (interval_days >= 0)
);

-- What the times of an imported cohort are counted from, in words.
CREATE TABLE imports (
    cohort      TEXT PRIMARY KEY,
    time_zero   TEXT NOT NULL,
    imported_at TIMESTAMP NOT NULL
);
