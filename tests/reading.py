"""Pages as a person reads them."""


def read(app):
    """Everything a person would read on the page, without markup."""
    kinds = (
        "title", "header", "subheader", "markdown", "caption", "error", "warning", "info",
        "success", "metric", "text",
    )  # fmt: skip
    words = [str(element.value) for kind in kinds for element in getattr(app, kind)]
    words += [frame.value.to_string() for kind in ("dataframe", "table") for frame in app.get(kind)]
    return "\n".join(words).replace("\\", "").replace("\u00a0", " ")


def open_page(app, page, patient=None):
    if patient is not None:
        app.query_params["patient"] = patient
    app.switch_page(page).run()
    assert not app.exception
    return read(app)
