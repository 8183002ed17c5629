-- Patients of a cohort by what they have in common, under a name somebody chose: filters, nobody's
-- pseudonym.
CREATE TABLE patient_groups (
    cohort   TEXT,
    name     TEXT,
    wanted   MAP(TEXT, TEXT[]) NOT NULL,
    youngest DOUBLE,
    oldest   DOUBLE,
    saved_at TIMESTAMP NOT NULL,
    PRIMARY KEY (cohort, name)
);
