const huge = 1e1000
const fine = 1e300
