-- A lesion may be gone at the follow-up: measured, but without a line. A constraint cannot be changed
-- in place, so the table is written anew.
ALTER TABLE measurements RENAME TO measurements_before;
CREATE TABLE measurements (
    measurement TEXT PRIMARY KEY,
    patient     TEXT NOT NULL,
    pair_key    TEXT NOT NULL,
    lesion      TEXT NOT NULL CHECK (length(lesion) BETWEEN 1 AND 20),
    visit       INTEGER NOT NULL CHECK (visit IN (0, 1)),          -- baseline, follow-up
    plane       TEXT NOT NULL CHECK (plane IN ('axial', 'coronal', 'sagittal')),
    -- x, y, z, x, y, z ... mm from the centre of the scan's first voxel: one or two lines, or none
    points_mm   DOUBLE[] NOT NULL,
    target      BOOLEAN NOT NULL,
    node        BOOLEAN NOT NULL,
    made_at     TIMESTAMP NOT NULL,
    made_by     TEXT NOT NULL,
    CHECK (len(points_mm) IN (6, 12) OR (visit = 1 AND len(points_mm) = 0))
);
INSERT INTO measurements SELECT * FROM measurements_before;
DROP TABLE measurements_before;
