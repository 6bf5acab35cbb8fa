/** Amounts of memory, in bytes, and of time, in seconds. */
class Amounts {
    static final Map UNITS = [GB: 1_000_000_000L, h: 3600L]

    /** So that settings may say 4.GB and 4.h. */
    static void teach() { UNITS.each { unit, size -> Integer.metaClass."get${unit.capitalize()}" = { -> delegate * size } } }

    /** An amount, at most the limit, if there is one: a number, or text such as '128.GB'. */
    static long least(Object amount, Object limit) { limit == null ? amount : Math.min(amount as long, number(limit)) }

    private static long number(Object limit) {
        if (limit instanceof Number) { return limit }
        def (size, unit) = limit.toString().tokenize('. ')
        size.toLong() * UNITS[unit]
    }
}
