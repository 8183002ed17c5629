"""The longer questions put to the database."""

# One row a pair with its latest score, and one row a refusal.
WORKLIST = """
WITH latest AS (
    SELECT * FROM scores
    WHERE $model_version::TEXT IS NULL OR model_version = $model_version
    QUALIFY row_number() OVER (
        PARTITION BY pair_key ORDER BY scored_at DESC, model_version DESC
    ) = 1
),
scored_pairs AS (
    SELECT
        pairs.patient, pairs.pair_key, cohort, note, interval_days, zone,
        coalesce(reasons, [found.reason FOR found IN findings]) AS reasons,
        survival_12m, lower, upper, risk_group, recist, volume_change,
        sum_baseline_mm, sum_follow_up_mm, new_lesions, scored_at,
        NULL::TEXT AS refusal_what, NULL::TEXT AS refusal_next_step,
        model_version, saved_at
    FROM pairs
    JOIN patients USING (patient)
    LEFT JOIN latest USING (pair_key)
    LEFT JOIN responses USING (pair_key)
),
refused AS (
    SELECT
        patient, cohort, note, []::TEXT[] AS reasons,
        what AS refusal_what, next_step AS refusal_next_step, refused_at AS saved_at
    FROM refusals
    JOIN patients USING (patient)
)
SELECT * EXCLUDE (saved_at)
FROM (SELECT * FROM scored_pairs UNION ALL BY NAME SELECT * FROM refused)
WHERE $cohort::TEXT IS NULL OR cohort = $cohort
ORDER BY patient, saved_at, pair_key
"""

# One score a patient: of the pair entered last. Chosen before its zone is looked at, or a patient
# could enter the statistics by the one pair that happens to be green.
CHOSEN = """
WITH members AS (SELECT * FROM patients WHERE cohort = $cohort),
chosen AS (
    SELECT patient, interval_days, scores.*
    FROM members
    JOIN pairs USING (patient)
    JOIN scores USING (pair_key)
    WHERE model_version = $model_version
    QUALIFY row_number() OVER (PARTITION BY patient ORDER BY saved_at DESC, pair_key) = 1
)
"""

# `$scored` FALSE: everybody with an outcome, with a score or without.
COHORT_TABLE = (
    CHOSEN
    + """
SELECT
    patient, months, event, survival_12m, risk_group, age::DOUBLE AS age, sex, histology, pd_l1,
    ecog, line, regimen, site, coalesce(responses.recist, readings.recist, $unknown) AS recist,
    coalesce(responses.volume_change, readings.volume_change) AS volume_change,
    biomarkers['tumour_volume'].baseline AS tumour_volume_ml, zone,
    coalesce(responses.sum_baseline_mm, readings.sum_baseline_mm) AS sum_baseline_mm,
    coalesce(responses.sum_follow_up_mm, readings.sum_follow_up_mm) AS sum_follow_up_mm,
    coalesce(responses.new_lesions, readings.new_lesions)::DOUBLE AS new_lesions,
    lower, upper,
    coalesce(chosen.interval_days, readings.interval_days)::DOUBLE AS interval_days
FROM members
LEFT JOIN chosen USING (patient)
JOIN outcomes USING (patient)
LEFT JOIN responses USING (pair_key)
LEFT JOIN readings USING (patient)
WHERE NOT $scored OR zone = 'green' OR (zone = 'amber' AND $include_amber)
ORDER BY patient
"""
)

PREDICTED = (
    CHOSEN
    + """
SELECT patient, curve.survival[list_position(curve.months, $months::DOUBLE)] AS survival
FROM chosen
WHERE list_contains(curve.months, $months::DOUBLE)
ORDER BY patient
"""
)

COHORT_COUNTS = (
    CHOSEN
    + """
SELECT
    count(*) AS patients,
    count(*) FILTER (
        patient IN (SELECT patient FROM refusals) AND patient NOT IN (SELECT patient FROM pairs)
    ) AS refused,
    count(zone) AS scored,
    count(*) FILTER (zone = 'green') AS green,
    count(*) FILTER (zone = 'amber') AS amber,
    count(*) FILTER (zone = 'red') AS red,
    count(*) FILTER (months IS NULL) AS without_outcome,
    count(*) FILTER (zone = 'green' AND months IS NOT NULL) AS analysed,
    count(*) FILTER (zone IN ('green', 'amber') AND months IS NOT NULL) AS analysed_with_amber
FROM members
LEFT JOIN chosen USING (patient)
LEFT JOIN outcomes USING (patient)
"""
)

# Cohorts that came as a table and have a patient still.
IMPORTED = """
SELECT cohort, count(*) AS patients, count(pairs.patient) AS with_scans
FROM imports
JOIN patients USING (cohort)
LEFT JOIN (SELECT DISTINCT patient FROM pairs) AS pairs USING (patient)
GROUP BY cohort
ORDER BY cohort
"""

# Whom a deletion is about, by the pseudonym or the cohort's name in `$name`.
THIS_PATIENT = "SELECT $name"
THIS_COHORT = "SELECT patient FROM patients WHERE cohort = $name"

# Scans of patients that no pair of anybody else needs; {whom} selects the patients.
SCANS_OF = """
SELECT DISTINCT sha256 FROM (
    SELECT unnest([baseline_sha256, follow_up_sha256]) AS sha256
    FROM pairs WHERE patient IN ({whom})
)
WHERE sha256 NOT IN (
    SELECT unnest([baseline_sha256, follow_up_sha256])
    FROM pairs WHERE patient NOT IN ({whom})
)
ORDER BY sha256
"""

PAIRS_OF_NOBODY = "pair_key NOT IN (SELECT pair_key FROM pairs)"

FORGET_SAME_LESION = """
DELETE FROM measurements WHERE patient = ? AND pair_key = ? AND lesion = ? AND visit = ?
"""
