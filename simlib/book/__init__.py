"""The book: ``run`` executes notebooks, ``stage`` renders pages, ``sphinx`` extends Sphinx for them."""
