// modc: --times 800000
;x
