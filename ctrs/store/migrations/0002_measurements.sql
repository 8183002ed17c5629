-- What a person drew on the scans. One row a lesion and scan; a second line replaces the first.
CREATE TABLE measurements (
    measurement TEXT PRIMARY KEY,
    patient     TEXT NOT NULL,
    pair_key    TEXT NOT NULL,
    lesion      TEXT NOT NULL CHECK (length(lesion) BETWEEN 1 AND 20),
    visit       INTEGER NOT NULL CHECK (visit IN (0, 1)),          -- baseline, follow-up
    plane       TEXT NOT NULL CHECK (plane IN ('axial', 'coronal', 'sagittal')),
    -- x, y, z, x, y, z ... mm from the centre of the scan's first voxel: one or two lines
    points_mm   DOUBLE[] NOT NULL CHECK (len(points_mm) IN (6, 12)),
    target      BOOLEAN NOT NULL,
    node        BOOLEAN NOT NULL,
    made_at     TIMESTAMP NOT NULL,
    made_by     TEXT NOT NULL
);

-- How far the follow-up has to be moved by hand, where the two scans were not linked well.
CREATE TABLE links (
    patient   TEXT NOT NULL,
    pair_key  TEXT NOT NULL,
    offset_mm DOUBLE[] NOT NULL CHECK (len(offset_mm) = 3),        -- x, y, z
    made_at   TIMESTAMP NOT NULL,
    made_by   TEXT NOT NULL,
    PRIMARY KEY (patient, pair_key)
);
