/** Signatures and descriptions of functions about which DuckDB says nothing: those of the dialect, and some of its own. */

/** Functions that need OVER; DuckDB lists them among the aggregates. */
export const windowFunctions: Readonly<Record<string, string>> = {
  'row_number()': 'Returns the number of the row in its partition, from 1',
  'rank()': 'Returns the rank of the row, with gaps after equal rows',
  'rank_dense()': 'Same as dense_rank',
  'dense_rank()': 'Returns the rank of the row, without gaps',
  'percent_rank()': 'Returns the rank of the row from 0 to 1',
  'cume_dist()': 'Returns the share of rows up to this one',
  'ntile(count BIGINT)': 'Returns the number of the bucket, of so many, that the row is in',
  'lag(value, offset BIGINT, default)':
    'Returns the value of an earlier row; the last two arguments are optional',
  'lead(value, offset BIGINT, default)':
    'Returns the value of a later row; the last two arguments are optional',
  'first_value(value)': 'Returns the value of the first row',
  'last_value(value)': 'Returns the value of the last row',
  'nth_value(value, n BIGINT)': 'Returns the value of the nth row',
  'fill(value)': 'Returns the value, or for NULL one between those of its neighbours',
};

/** Calls that the grammar has, and the list of functions has not. */
export const grammarFunctions: Readonly<Record<string, string>> = {
  'coalesce(value, …)': 'Returns the first value that is not NULL',
  'ifnull(value, other)': 'Returns the value, or the other if it is NULL',
  'try(expression)': 'Returns NULL if the expression fails',
  'unnest(list)': 'Makes a row of each element of a list',
};

/** All signatures of a function in one, by its name before the bracket. */
export const documented: Readonly<Record<string, string>> = {
  'tumble(width INTERVAL)': 'GROUP BY: windows of this width, one after the other',
  'hop(slide INTERVAL, width INTERVAL)':
    'GROUP BY: windows of this width that begin every slide, and overlap',
  'session(gap INTERVAL)': 'GROUP BY: windows that end when no row comes for the gap',
  'row_time()': 'Returns the time of arrival of the row',
  'closed_early()': 'Returns whether the window was closed before its time',
  'extract_json(document, path)': 'Returns all values at a JSONPath, as texts of JSON',
  'extract_json_string(document, path)': 'Returns the first string at a JSONPath',
  'get_first_json_object(document, path)': 'Returns the first value at a JSONPath, as a text of JSON',
  'json_get(document, key, …)': 'Returns a member as JSON; up to four keys or positions',
  'json_get_json(document, key, …)': 'Returns a member as a text of JSON',
  'json_get_str(document, key, …)': 'Returns a member that is a string; NULL for others',
  'json_get_int(document, key, …)': 'Returns a member that is a whole number; NULL for others',
  'json_get_float(document, key, …)': 'Returns a member that is a number; NULL for others',
  'json_get_bool(document, key, …)': 'Returns a member that is a boolean; NULL for others',
  'json_get_array(document, key, …)': 'Returns the items of a member that is an array, as texts of JSON',
  'json_as_text(document, key, …)': 'Returns a member as a text, a string without its quotes',
  'json_length(document, key, …)': 'Returns the number of items or members',
  'json_object_keys(document, key, …)': 'Returns the names of the members of an object',
  'json_extract(document, path)': 'Returns the value at a path as JSON',
  'json_extract_string(document, path)': 'Returns the value at a path as a text',
  'json_type(document)': 'Returns the type of a JSON value, such as OBJECT or VARCHAR',
  'json_keys(document)': 'Returns the names of the members of an object',
  'json_array_length(document)': 'Returns the number of items of an array',
  'json_valid(text)': 'Returns whether a text is JSON',
  'json_object(key, value, …)': 'Makes a JSON object',
  'json_array(value, …)': 'Makes a JSON array',
  'to_json(value)': 'Makes JSON of a value',
  'to_timestamp_seconds(value)': 'Makes a TIMESTAMP of seconds since 1970, or of a text',
  'to_timestamp_millis(value)': 'Makes a TIMESTAMP of milliseconds since 1970, or of a text',
  'to_timestamp_micros(value)': 'Makes a TIMESTAMP of microseconds since 1970, or of a text',
  'to_timestamp_nanos(value)': 'Makes a TIMESTAMP of nanoseconds since 1970, or of a text',
  'from_unixtime(seconds)': 'Makes a TIMESTAMP of seconds since 1970',
  'to_unixtime(time)': 'Returns the seconds since 1970',
  'to_date(value, format)': 'Makes a DATE of a text or a time; the format is optional',
  'to_char(time, format)': 'Writes a time by a format of strftime',
  'date_format(time, format)': 'Writes a time by a format of strftime',
  'date_bin(width INTERVAL, time, origin)':
    'Rounds a time down to a multiple of the width; the origin is optional',
  'today()': 'Returns the current date',
  'btrim(text, characters)': 'Removes characters at both ends, by default spaces',
  'initcap(text)': 'Capitalises each word',
  'overlay(text PLACING other FROM start FOR count)': 'Replaces a part of a text; FOR is optional',
  'find_in_set(text, list)': 'Returns the position of a text in a list with commas; 0 if it is not there',
  'substr_index(text, delimiter, count)':
    'Returns the text before, or for a negative count after, a delimiter',
  'substring_index(text, delimiter, count)': 'Same as substr_index',
  'split_part(text, separator, position)': 'Returns one part of a text',
  'regexp_like(text, pattern, flags)': 'Returns whether a text has the pattern; the flags are optional',
  'regexp_count(text, pattern)': 'Returns the number of matches of a pattern',
  'nvl(value, other)': 'Returns the value, or the other if it is NULL',
  'nvl2(value, then, else)': 'Returns `then` if the value is not NULL, otherwise `else`',
  'nanvl(value, other)': 'Returns the value, or the other if it is NaN',
  'nullif(value, other)': 'Returns NULL if both are equal, otherwise the value',
  'signum(value)': 'Returns -1, 0 or 1',
  'iszero(value)': 'Returns whether a number is 0',
  'make_array(value, …)': 'Makes a list of up to eight values',
  'array_element(list, position)': 'Returns an item; positions count from 1',
  'array_empty(list)': 'Returns whether a list has no items',
  'array_remove_all(list, value)': 'Removes all items that equal a value',
};
