-- Pseudonyms only: no name, birth date, identifier or UID of a patient or study, and no date of a
-- scan, has a column here. Times are those of this program's own work, in UTC.
--
-- No FOREIGN KEYs: DuckDB checks them against rows that the same transaction has already deleted,
-- so that a patient could not be replaced or removed at one stroke. The store checks them itself.

CREATE TABLE patients (
    patient   TEXT PRIMARY KEY,
    cohort    TEXT NOT NULL,
    age       INTEGER,
    sex       TEXT NOT NULL DEFAULT 'unknown',
    histology TEXT NOT NULL DEFAULT 'unknown',
    pd_l1     TEXT NOT NULL DEFAULT 'unknown',
    ecog      TEXT NOT NULL DEFAULT 'unknown',
    line      TEXT NOT NULL DEFAULT 'unknown',
    regimen   TEXT NOT NULL DEFAULT 'unknown',
    site      TEXT NOT NULL DEFAULT 'unknown',
    note      TEXT NOT NULL DEFAULT ''
);

CREATE TABLE scans (
    sha256       TEXT PRIMARY KEY,
    shape        INTEGER[] NOT NULL CHECK (len(shape) = 3),      -- (z, y, x)
    spacing_mm   DOUBLE[] NOT NULL CHECK (len(spacing_mm) = 3),  -- (z, y, x)
    kernel       TEXT NOT NULL,
    contrast     TEXT NOT NULL,
    manufacturer TEXT NOT NULL
);

-- The same two scans may belong to a demo patient and to somebody who uploaded the demo files:
-- a score is of the scans, a pair is of a patient.
CREATE TABLE pairs (
    patient          TEXT NOT NULL,
    pair_key         TEXT NOT NULL,
    baseline_sha256  TEXT NOT NULL,
    follow_up_sha256 TEXT NOT NULL,
    interval_days    INTEGER,
    findings         STRUCT(zone TEXT, reason TEXT)[] NOT NULL DEFAULT [],
    saved_at         TIMESTAMP NOT NULL,
    PRIMARY KEY (patient, pair_key)
);

CREATE TABLE refusals (
    patient    TEXT PRIMARY KEY,
    what       TEXT NOT NULL,
    next_step  TEXT NOT NULL,
    refused_at TIMESTAMP NOT NULL
);

-- NaN is the largest DOUBLE in DuckDB, so that BETWEEN 0 AND 1 keeps it out as well.
CREATE TABLE scores (
    pair_key       TEXT NOT NULL,
    model_version  TEXT NOT NULL,
    zone           TEXT NOT NULL CHECK (zone IN ('green', 'amber', 'red')),
    reasons        TEXT[] NOT NULL DEFAULT [],
    survival_12m   DOUBLE CHECK (survival_12m BETWEEN 0 AND 1),
    lower          DOUBLE CHECK (lower BETWEEN 0 AND survival_12m),
    upper          DOUBLE CHECK (upper BETWEEN survival_12m AND 1),
    curve          STRUCT(
                       months DOUBLE[], survival DOUBLE[], lower DOUBLE[], upper DOUBLE[]
                   ),
    risk_group     TEXT CHECK (risk_group IN ('Low risk', 'High risk')),
    members        DOUBLE[] NOT NULL DEFAULT [],
    cut_off        DOUBLE NOT NULL,
    ood_percentile DOUBLE,
    biomarkers     MAP(TEXT, STRUCT(baseline DOUBLE, follow_up DOUBLE, unit TEXT))
                       NOT NULL DEFAULT MAP(),
    device         TEXT NOT NULL DEFAULT '',
    seconds        MAP(TEXT, DOUBLE) NOT NULL DEFAULT MAP(),
    scored_at      TIMESTAMP NOT NULL,
    PRIMARY KEY (pair_key, model_version),
    CHECK ((zone = 'red') = (survival_12m IS NULL)),
    CHECK ((zone = 'red') = (lower IS NULL)),
    CHECK ((zone = 'red') = (upper IS NULL)),
    CHECK ((zone = 'red') = (risk_group IS NULL)),
    CHECK (zone <> 'red' OR curve IS NULL)
);

CREATE TABLE responses (
    pair_key         TEXT PRIMARY KEY,
    recist           TEXT NOT NULL CHECK (recist IN ('CR', 'PR', 'SD', 'PD', 'NE')),
    sum_baseline_mm  DOUBLE NOT NULL CHECK (sum_baseline_mm >= 0),
    sum_follow_up_mm DOUBLE NOT NULL CHECK (sum_follow_up_mm >= 0),
    new_lesions      INTEGER NOT NULL CHECK (new_lesions >= 0),
    volume_change    DOUBLE NOT NULL CHECK (volume_change >= -1)
);

CREATE TABLE outcomes (
    patient TEXT PRIMARY KEY,
    months  DOUBLE NOT NULL CHECK (months >= 0 AND isfinite(months)),
    event   BOOLEAN NOT NULL
);

CREATE SEQUENCE audit_entry;

CREATE TABLE audit (
    entry    BIGINT PRIMARY KEY DEFAULT nextval('audit_entry'),
    noted_at TIMESTAMP NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    patient  TEXT,
    detail   TEXT NOT NULL
);
