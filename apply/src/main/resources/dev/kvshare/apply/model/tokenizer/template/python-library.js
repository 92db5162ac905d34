// Methods, filters and tests as Python and its Jinja define them. What is not here is refused by name.

/**
 * Orders the arguments of a call by the names of its parameters; `!` marks one that must be given.
 * A keyword argument of the call comes last in `args`, as the package passes it.
 */
function bind(name, parameters, args) {
  const keywords = args.at(-1) instanceof KeywordArgumentsValue ? args.at(-1).value : new Map();
  const positional = args.at(-1) instanceof KeywordArgumentsValue ? args.slice(0, -1) : args;
  const names = parameters === "" ? [] : parameters.split(" ");
  if (positional.length > names.length) fail(`${name} takes at most ${names.length} arguments (${positional.length} given)`);
  const bound = names.map((parameter, i) => {
    const plain = parameter.replace("!", "");
    if (i < positional.length && keywords.has(plain)) fail(`${name} got multiple values for argument '${plain}'`);
    const value = positional[i] ?? keywords.get(plain);
    return value === undefined && plain !== parameter ? fail(`${name} needs the argument '${plain}'`) : value;
  });
  for (const keyword of keywords.keys()) {
    if (!names.some((parameter) => parameter.replace("!", "") === keyword)) fail(`${name} got an unexpected keyword argument '${keyword}'`);
  }
  return bound;
}

const stringArgument = (value, name) =>
  value instanceof StringValue ? value.value : fail(`${name} needs a text, not ${typeName(value)}`);
const integerArgument = (value, standard) =>
  isNone(value) ? standard
  : value instanceof IntegerValue || value instanceof BooleanValue ? Number(value.value)
  : fail(`a whole number was expected, not ${typeName(defined(value))}`);

const LINE_BREAKS = /\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/g;
const capitalized = (s) => {
  const first = s === "" ? "" : String.fromCodePoint(s.codePointAt(0));
  return first.toUpperCase() + s.slice(first.length).toLowerCase();
};
const repeated = (s, count) => (s.length * count > MAX_TEXT ? tooLarge() : s.repeat(Math.max(0, count)));
const padding = (s, width, fill = " ") => repeated(fill, Math.max(0, width - lengthOf(s)));

const SPACE_SET = new Set(" \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000");

function stripped(s, chars, left, right) {
  const drops = isNone(chars) ? SPACE_SET : new Set(characters(stringArgument(chars, "strip()")));
  let [start, end] = [0, s.length];
  for (let char; left && start < end && drops.has((char = String.fromCodePoint(s.codePointAt(start)))); ) start += char.length;
  while (right && end > start) {
    const size = end - start > 1 && /[\udc00-\udfff]/.test(s[end - 1]) && /[\ud800-\udbff]/.test(s[end - 2]) ? 2 : 1;
    if (!drops.has(s.slice(end - size, end))) break;
    end -= size;
  }
  return s.slice(start, end);
}

function splitLines(s, keepEnds) {
  const lines = [];
  let start = 0;
  for (const match of s.matchAll(LINE_BREAKS)) {
    lines.push(s.slice(start, keepEnds ? match.index + match[0].length : match.index));
    start = match.index + match[0].length;
  }
  if (start < s.length) lines.push(s.slice(start));
  return lines;
}

function split(s, separator, limit, fromRight) {
  const max = integerArgument(limit, -1) < 0 ? Infinity : integerArgument(limit, -1);
  const by = isNone(separator) ? null : stringArgument(separator, "split()");
  if (by === "") fail("empty separator");
  const reverse = (string) => characters(string).reverse().join("");
  if (fromRight) {
    return split(reverse(s), by === null ? undefined : text(reverse(by)), limit, false).map(reverse).reverse();
  }
  if (by !== null) {
    const parts = s.split(by);
    return parts.length - 1 > max ? [...parts.slice(0, max), parts.slice(max).join(by)] : parts;
  }
  const parts = [];
  for (const word of s.matchAll(new RegExp(`[^${PYTHON_SPACE}]+`, "g"))) {
    if (parts.length >= max) return [...parts, s.slice(word.index)];
    parts.push(word[0]);
  }
  return parts;
}

function replaced(s, from, to, count) {
  const parts = from === "" ? ["", ...characters(s), ""] : s.split(from);
  const times = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  if (s.length + times * (to.length - from.length) > MAX_TEXT) tooLarge();
  const head = parts.slice(0, times + 1).join(to);
  return times < parts.length - 1 ? head + from + parts.slice(times + 1).join(from) : head;
}

/** str.find() and its like: code points from a start to an end. */
function found(s, args, name, last) {
  const [sub, start, end] = bind(name, "sub! start end", args);
  if (start === undefined && end === undefined) {
    const at = last ? s.lastIndexOf(stringArgument(sub, name)) : s.indexOf(stringArgument(sub, name));
    return at < 0 ? -1 : lengthOf(s.slice(0, at));
  }
  const items = characters(s);
  const clip = (value, standard) => Math.min(items.length, Math.max(0, value < 0 ? value + items.length : value ?? standard));
  const from = clip(integerArgument(start, 0), 0);
  const part = items.slice(from, clip(integerArgument(end, items.length))).join("");
  const index = last ? part.lastIndexOf(stringArgument(sub, name)) : part.indexOf(stringArgument(sub, name));
  return index < 0 ? -1 : from + lengthOf(part.slice(0, index));
}

function affix(s, args, name, test) {
  const [wanted, start] = bind(name, "prefix! start", args);
  if (start !== undefined) fail(`${name} with a start is not supported`);
  const all = wanted instanceof TupleValue ? wanted.value : [wanted];
  return bool(all.some((one) => test(s, stringArgument(one, name))));
}

/** str.format() with plain fields: {}, {0}, {name}. */
function braceFormat(s, args) {
  const keywords = args.at(-1) instanceof KeywordArgumentsValue ? args.pop().value : new Map();
  let next = 0;
  return s.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (all, field) => {
    if (all === "{{" || all === "}}") return all[0];
    if (field === undefined || /[.[:!]/.test(field)) fail(`the field ${all} of format() is not supported`);
    const value = field === "" ? args[next++] : /^\d+$/.test(field) ? args[Number(field)] : keywords.get(field);
    return str(value ?? fail(`format() has no value for the field ${all}`));
  });
}

/** The operator `%` of a text. */
function percentFormat(s, argument) {
  const args = argument instanceof TupleValue ? argument.value : [argument];
  let next = 0;
  const result = s.replace(/%(?:\((\w+)\))?([-0]*)(\d*)(?:\.(\d+))?([^]?)/g, (all, key, flags, width, precision, kind) => {
    if (all === "%%") return "%";
    const value = key !== undefined
      ? (argument instanceof ObjectValue ? argument.value.get(key) : undefined) ?? fail(`the format has no value for ${all}`)
      : args[next++] ?? fail("not enough arguments for format string");
    let plain;
    if (kind === "s" || kind === "r") {
      plain = kind === "s" ? str(value) : repr(value);
      if (precision !== undefined) plain = characters(plain).slice(0, Number(precision)).join("");
    } else if ((kind === "d" || kind === "i") && precision === undefined) plain = String(Math.trunc(numberOf(value)));
    else if (kind === "f" && Number(precision ?? 6) <= 20) plain = numberOf(value).toFixed(Number(precision ?? 6));
    else fail(`the format ${all} is not supported`);
    if (flags.includes("-")) return plain + padding(plain, Number(width));
    const zeros = flags.includes("0") && kind !== "s" && kind !== "r";
    if (!zeros) return padding(plain, Number(width)) + plain;
    const sign = plain.startsWith("-") ? "-" : "";
    return sign + padding(plain, Number(width), "0") + plain.slice(sign.length);
  });
  if (next < args.length && !(argument instanceof ObjectValue) && !(next === 0 && ordinary(argument) && argument.type === "ArrayValue")) {
    fail("not all arguments converted during string formatting");
  }
  return text(result);
}

const classTest = (pattern) => (s) => bool(pattern.test(s));
const cased = (s, same) => bool(s === same && s.toLowerCase() !== s.toUpperCase());

const STRING_METHODS = {
  capitalize: ["", (s) => text(capitalized(s))],
  casefold: ["", (s) => text(s.toLowerCase().replace(/ß/g, "ss"))],
  center: ["width! fillchar", (s, [width, fill]) => text(centered(s, integerArgument(width), isNone(fill) ? " " : stringArgument(fill, "center()")))],
  ljust: ["width! fillchar", (s, [width, fill]) => text(s + padding(s, integerArgument(width), fill?.value))],
  rjust: ["width! fillchar", (s, [width, fill]) => text(padding(s, integerArgument(width), fill?.value) + s)],
  zfill: ["width!", (s, [width]) => {
    const sign = /^[+-]/.exec(s)?.[0] ?? "";
    return text(sign + padding(s, integerArgument(width), "0") + s.slice(sign.length));
  }],
  count: ["sub!", (s, [sub]) => integer(sub.value === "" ? lengthOf(s) + 1 : s.split(stringArgument(sub, "count()")).length - 1)],
  find: [null, (s, args) => integer(found(s, args, "find()", false))],
  rfind: [null, (s, args) => integer(found(s, args, "rfind()", true))],
  index: [null, (s, args) => integer(found(s, args, "index()", false) < 0 ? fail("substring not found") : found(s, args, "index()", false))],
  startswith: [null, (s, args) => affix(s, args, "startswith()", (whole, part) => whole.startsWith(part))],
  endswith: [null, (s, args) => affix(s, args, "endswith()", (whole, part) => whole.endsWith(part))],
  removeprefix: ["prefix!", (s, [part]) => text(s.startsWith(stringArgument(part, "removeprefix()")) ? s.slice(part.value.length) : s)],
  removesuffix: ["suffix!", (s, [part]) => text(s.endsWith(stringArgument(part, "removesuffix()")) ? s.slice(0, s.length - part.value.length) : s)],
  format: [null, (s, args) => text(braceFormat(s, args.slice()))],
  isalnum: ["", classTest(/^[\p{L}\p{N}]+$/u)],
  isalpha: ["", classTest(/^\p{L}+$/u)],
  isdigit: ["", classTest(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u)],
  isdecimal: ["", classTest(/^\p{Nd}+$/u)],
  isnumeric: ["", classTest(/^\p{N}+$/u)],
  isspace: ["", (s) => bool(SPACES_ONLY.test(s))],
  islower: ["", (s) => cased(s, s.toLowerCase())],
  isupper: ["", (s) => cased(s, s.toUpperCase())],
  join: ["iterable!", (s, [items]) => joined(iterate(items).map((item) => stringArgument(item, "join()")), s)],
  lower: ["", (s) => text(s.toLowerCase())],
  upper: ["", (s) => text(s.toUpperCase())],
  swapcase: ["", (s) => text(characters(s).map((c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())).join(""))],
  title: ["", (s) => text(s.replace(/\p{L}+/gu, capitalized))],
  strip: ["chars", (s, [chars]) => text(stripped(s, chars, true, true))],
  lstrip: ["chars", (s, [chars]) => text(stripped(s, chars, true, false))],
  rstrip: ["chars", (s, [chars]) => text(stripped(s, chars, false, true))],
  partition: ["sep!", (s, [sep]) => partition(s, sep, s.indexOf(stringArgument(sep, "partition()")), false)],
  rpartition: ["sep!", (s, [sep]) => partition(s, sep, s.lastIndexOf(stringArgument(sep, "rpartition()")), true)],
  replace: ["old! new! count", (s, [from, to, count]) =>
    text(replaced(s, stringArgument(from, "replace()"), stringArgument(to, "replace()"), integerArgument(count, -1)))],
  split: ["sep maxsplit", (s, [sep, limit]) => list(split(s, sep, limit, false).map(text))],
  rsplit: ["sep maxsplit", (s, [sep, limit]) => list(split(s, sep, limit, true).map(text))],
  splitlines: ["keepends", (s, [keep]) => list(splitLines(s, keep !== undefined && truth(keep)).map(text))],
};

function centered(s, width, fill) {
  const total = Math.max(0, width - lengthOf(s));
  const left = Math.floor(total / 2) + (total & width & 1);
  return repeated(fill, left) + s + repeated(fill, total - left);
}

function joined(parts, separator) {
  const size = parts.reduce((sum, part) => sum + part.length + separator.length, 0);
  return size > MAX_TEXT + separator.length ? tooLarge() : text(parts.join(separator));
}

function partition(s, sep, index, last) {
  const parts = index >= 0 ? [s.slice(0, index), sep.value, s.slice(index + sep.value.length)] : last ? ["", "", s] : [s, "", ""];
  return new TupleValue(parts.map(text));
}

const pairs = (object) => Array.from(object, ([key, item]) => new TupleValue([keyValue(key), item]));
const DICT_METHODS = {
  get: ["key! default", (map, [key, standard]) => lookUp({ value: map }, key) ?? standard ?? new NullValue()],
  items: ["", (map) => new SequenceValue(pairs(map), "dict_items")],
  keys: ["", (map) => new SequenceValue(Array.from(map.keys(), keyValue), "dict_keys")],
  values: ["", (map) => new SequenceValue(Array.from(map.values()), "dict_values")],
  copy: ["", (map) => new ObjectValue(new Map(map))],
};
const LIST_METHODS = {
  index: ["value!", (items, [value]) => {
    const index = items.findIndex((item) => same(item, value));
    return index < 0 ? fail(`${repr(value)} is not in list`) : integer(index);
  }],
  count: ["value!", (items, [value]) => integer(items.filter((item) => same(item, value)).length)],
};
const COPY = { copy: ["", (items) => list(items.slice())] };

// Attributes that Python has and these templates do not get: methods that change a value are unsafe in
// transformers too, the others are refused here.
const UNSAFE = { list: "append clear extend insert pop remove reverse sort", dict: "clear pop popitem setdefault update" };
const UNSUPPORTED = {
  str: "encode expandtabs format_map isascii isidentifier isprintable istitle maketrans rindex translate",
  dict: "fromkeys", list: "", tuple: "", range: "start stop step index count", generator: "send throw close",
  int: "as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag is_integer numerator real to_bytes",
  float: "as_integer_ratio conjugate fromhex hex imag is_integer real",
};
UNSUPPORTED.bool = UNSUPPORTED.int;

/** The attribute or method of a value in `value.name`; undefined where Python has none. */
function attributeOf(value, name) {
  const type = typeName(value);
  if (value.names?.includes(name)) return value.value[value.names.indexOf(name)];
  const table =
    value instanceof StringValue ? STRING_METHODS
    : value instanceof ObjectValue ? DICT_METHODS
    : value instanceof TupleValue ? LIST_METHODS
    : value instanceof ArrayValue && !(value instanceof SequenceValue) ? { ...LIST_METHODS, ...COPY }
    : {};
  if (Object.hasOwn(table, name)) {
    if (value instanceof MarkupValue) fail(`the method ${name} of safe text is not supported`);
    const [parameters, body] = table[name];
    return new FunctionValue((args) => body(value.value, parameters === null ? args : bind(`${name}()`, parameters, args)));
  }
  const unsafe = (UNSAFE[type] ?? "").split(" ").includes(name) || (name.startsWith("__") && name.endsWith("__"));
  if (unsafe) return missing(`access to attribute '${name}' of '${type}' object is unsafe`);
  if ((UNSUPPORTED[type] ?? "").split(" ").includes(name)) fail(`the attribute '${name}' of '${type}' is not supported`);
  return undefined;
}

/** Jinja's environment.getitem(): an item first, then an attribute. */
function itemOf(object, key) {
  defined(object);
  let value;
  if (object instanceof ObjectValue) value = lookUp(object, key);
  else if (object instanceof LoopValue) value = object.value(str(key));
  else if (object instanceof NamespaceValue) value = object.value.get(str(key));
  else if ((object instanceof ArrayValue || object instanceof StringValue) && (key instanceof IntegerValue || key instanceof BooleanValue)) {
    const indexed = object instanceof StringValue || ordinary(object) && !(object.kind ?? "").startsWith("dict_");
    const items = object instanceof StringValue && !/^[^\ud800-\udfff]*$/.test(object.value) ? characters(object.value) : object.value;
    value = indexed ? items.at(Number(key.value)) : undefined;
    if (typeof value === "string") value = new StringValue(value);
  }
  if (value === undefined && key instanceof StringValue) value = attributeOf(object, key.value);
  const hint = key instanceof StringValue || key instanceof IntegerValue ? repr(key).replace(/^(\d)/, "element $1") : typeName(key);
  return value ?? missing(isNone(object) ? `None has no ${/^el/.test(hint) ? hint : `attribute ${hint}`}`
    : `'${typeName(object)} object' has no ${/^el/.test(hint) ? hint : `attribute ${hint}`}`);
}

/** The path of an `attribute=` argument: names and indices joined by dots. */
function pathOf(attribute, standard) {
  if (isNone(attribute)) return (item) => item;
  const keys = attribute instanceof IntegerValue ? [attribute]
    : stringArgument(attribute, "attribute").split(".").map((part) => (/^\d+$/.test(part) ? integer(Number(part)) : text(part)));
  return (item) => keys.reduce((object, key) => {
    const value = itemOf(object, key);
    return isUndefined(value) && !isNone(standard) ? standard : value;
  }, item);
}

const folded = (caseSensitive) => (value) =>
  value instanceof StringValue && !(caseSensitive !== undefined && truth(caseSensitive)) ? text(value.value.toLowerCase()) : value;

function sorted(items, key, reverse) {
  const keyed = items.map((item) => [key(item), item]);
  const direction = reverse !== undefined && truth(reverse) ? -1 : 1;
  keyed.sort(([a], [b]) => direction * compare(a, b));
  return keyed.map(([, item]) => item);
}

function extreme(value, [caseSensitive, attribute], sign, name) {
  const key = (item) => folded(caseSensitive)(pathOf(attribute)(item));
  const items = iterate(value);
  if (items.length === 0) return missing(`No aggregated item, sequence was empty.`);
  return items.reduce((best, item) => (sign * compare(key(item), key(best), name) > 0 ? item : best));
}

function count(value) {
  if (isUndefined(value)) return 0;
  if (value instanceof StringValue) return lengthOf(value.value);
  if (value instanceof ObjectValue) return value.value.size;
  return ordinary(value) ? value.value.length : fail(`object of type '${typeName(value)}' has no len()`);
}

function toNumber(value, standard, base, whole) {
  if (isUndefined(value)) defined(value);
  if (isNumber(value)) {
    const number = Number(value.value);
    if (!whole) return new FloatValue(number);
    return Number.isFinite(number) ? integer(Math.trunc(number)) : standard;
  }
  if (!(value instanceof StringValue)) return standard;
  const plain = stripped(value.value, undefined, true, true).replace(/(\d)_(?=\d)/g, "$1");
  if (whole && base !== 10) fail("the filter int with another base than 10 is not supported");
  if (whole && /^[+-]?\d+$/.test(plain)) return integer(Number(plain));
  const special = /^[+-]?(inf|infinity|nan)$/i.test(plain);
  if (!special && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return standard;
  if (special) return whole ? standard : fail(`the filter float of '${plain}' is not supported`);
  return whole ? integer(Math.trunc(Number(plain))) : new FloatValue(Number(plain));
}

/** Filters by name: parameters and body; `engine` calls other filters and tests by name. */
const FILTERS = {
  abs: ["", (value) => (value instanceof FloatValue ? new FloatValue(Math.abs(value.value)) : integer(Math.abs(numberOf(defined(value)))))],
  batch: ["linecount! fill_with", (value, [size, fill]) => {
    const items = iterate(value);
    const lines = [];
    for (let i = 0; i < items.length; i += Math.max(1, integerArgument(size))) lines.push(items.slice(i, i + Math.max(1, integerArgument(size))));
    const last = lines.at(-1);
    while (last !== undefined && !isNone(fill) && last.length < integerArgument(size)) last.push(fill);
    return generator(lines.map(list));
  }],
  capitalize: ["", (value) => text(capitalized(str(value)))],
  center: ["width", (value, [width]) => text(centered(str(value), integerArgument(width, 80), " "))],
  default: ["default_value boolean", (value, [standard, boolean]) =>
    isUndefined(value) || (boolean !== undefined && truth(boolean) && !truth(value)) ? standard ?? text("") : value],
  dictsort: ["case_sensitive by reverse", (value, [caseSensitive, by, reverse]) => {
    if (!(value instanceof ObjectValue)) fail(`the filter dictsort needs a mapping, not ${typeName(value)}`);
    const position = by === undefined || by.value === "key" ? 0 : by.value === "value" ? 1 : fail('You can only sort by either "key" or "value"');
    return list(sorted(pairs(value.value), (pair) => folded(caseSensitive)(pair.value[position]), reverse));
  }],
  escape: ["", (value) => new MarkupValue(value instanceof MarkupValue ? value.value : escaped(str(value)))],
  first: ["", (value) => iterate(value)[0] ?? missing("No first item, sequence was empty.")],
  float: ["default", (value, [standard]) => toNumber(value, standard ?? new FloatValue(0), 10, false)],
  format: [null, (value, args) => {
    const keywords = args.at(-1) instanceof KeywordArgumentsValue ? args.at(-1) : null;
    if (keywords !== null && args.length > 1) fail("can't handle positional and keyword arguments at the same time");
    return percentFormat(str(value), keywords === null ? new TupleValue(args) : new ObjectValue(keywords.value));
  }],
  groupby: ["attribute! default case_sensitive", (value, [attribute, standard, caseSensitive]) => {
    const key = (item) => pathOf(attribute, standard)(item);
    const groups = [];
    for (const item of sorted(iterate(value), (one) => folded(caseSensitive)(key(one)))) {
      const group = groups.at(-1);
      if (group !== undefined && same(folded(caseSensitive)(group.value[0]), folded(caseSensitive)(key(item)))) group.value[1].value.push(item);
      else groups.push(Object.assign(new TupleValue([key(item), list([item])]), { names: ["grouper", "list"] }));
    }
    return list(groups);
  }],
  indent: ["width first blank", (value, [width, first, blank]) => {
    const indention = width instanceof StringValue ? width.value : repeated(" ", integerArgument(width, 4));
    const lines = splitLines(stringArgument(defined(value), "the filter indent") + "\n");
    const all = blank !== undefined && truth(blank);
    const rest = lines.map((line, i) => (i === 0 || (line === "" && !all) ? line : indention + line));
    return joined([(first !== undefined && truth(first) ? indention : "") + rest[0], ...rest.slice(1)], "\n");
  }],
  int: ["default base", (value, [standard, base]) => toNumber(value, standard ?? integer(0), integerArgument(base, 10), true)],
  items: ["", (value) => (isUndefined(value) ? generator([])
    : value instanceof ObjectValue ? generator(pairs(value.value)) : fail("Can only get item pairs from a mapping."))],
  join: ["d attribute", (value, [separator, attribute]) =>
    joined(iterate(value).map(pathOf(attribute)).map(str), separator === undefined ? "" : str(separator))],
  last: ["", (value) => (value.kind === "generator" ? fail("'generator' object is not reversible")
    : iterate(value).at(-1) ?? missing("No last item, sequence was empty."))],
  length: ["", (value) => integer(count(value))],
  list: ["", (value) => list(iterate(value).slice())],
  lower: ["", (value) => text(str(value).toLowerCase())],
  map: [null, (value, args, engine) => {
    if (args.length === 1 && args[0] instanceof KeywordArgumentsValue && args[0].value.has("attribute")) {
      const [attribute, standard] = bind("map", "attribute default", args);
      return generator(sequence(value).map(pathOf(attribute, standard)));
    }
    const name = stringArgument(args[0] ?? fail("map requires a filter argument"), "map");
    return generator(sequence(value).map((item) => engine.filter(name, item, args.slice(1))));
  }],
  max: ["case_sensitive attribute", (value, args) => extreme(value, args, 1, ">")],
  min: ["case_sensitive attribute", (value, args) => extreme(value, args, -1, "<")],
  reject: [null, (value, args, engine) => selected(value, args, engine, false, false)],
  rejectattr: [null, (value, args, engine) => selected(value, args, engine, false, true)],
  replace: ["old! new! count", (value, [from, to, times]) => text(replaced(str(value), str(from), str(to), integerArgument(times, -1)))],
  reverse: ["", (value) => (value instanceof StringValue ? text(characters(value.value).reverse().join(""))
    : value.kind === "generator" ? fail("argument must be iterable") : generator(iterate(value).slice().reverse()))],
  round: ["precision method", (value, [precision, method]) => {
    const digits = integerArgument(precision, 0);
    const how = method?.value ?? "common";
    if (!["common", "ceil", "floor"].includes(how)) fail("method must be common, ceil or floor");
    const number = numberOf(defined(value));
    if (how !== "common") return new FloatValue(Math[how](number * 10 ** digits) / 10 ** digits);
    return value instanceof FloatValue ? new FloatValue(rounded(number, digits)) : integer(rounded(number, digits));
  }],
  safe: ["", (value) => new MarkupValue(str(value))],
  select: [null, (value, args, engine) => selected(value, args, engine, true, false)],
  selectattr: [null, (value, args, engine) => selected(value, args, engine, true, true)],
  sort: ["reverse case_sensitive attribute", (value, [reverse, caseSensitive, attribute]) => {
    const paths = attribute instanceof StringValue ? attribute.value.split(",").map((part) => pathOf(text(part))) : [pathOf(attribute)];
    const key = (item) => list(paths.map((path) => folded(caseSensitive)(path(item))));
    return list(sorted(iterate(value), key, reverse));
  }],
  string: ["", (value) => (value instanceof MarkupValue ? value : text(str(value)))],
  sum: ["attribute start", (value, [attribute, start], engine) =>
    iterate(value).map(pathOf(attribute)).reduce((total, item) => engine.add(total, item), start ?? integer(0))],
  title: ["", (value) => text(str(value).split(new RegExp(`([-${PYTHON_SPACE}({\\[<]+)`)).map(capitalized).join(""))],
  tojson: ["ensure_ascii indent separators sort_keys", (value, [ascii, indent, separators, sortKeys]) => {
    const pair = isNone(separators) ? null : iterate(separators).map((part) => stringArgument(part, "separators"));
    return text(toJson(value, {
      indent: isNone(indent) ? null : indent instanceof StringValue ? indent.value : repeated(" ", integerArgument(indent)),
      ensureAscii: ascii !== undefined && truth(ascii),
      separators: pair === null || pair.length === 2 ? pair : fail("separators must be two texts"),
      sortKeys: sortKeys !== undefined && truth(sortKeys),
    }));
  }],
  trim: ["chars", (value, [chars]) => text(stripped(str(value), chars, true, true))],
  truncate: ["length killwords end leeway", (value, [length, killWords, end, leeway]) => {
    const [max, tail] = [integerArgument(length, 255), end === undefined ? "..." : str(end)];
    const items = characters(stringArgument(defined(value), "the filter truncate"));
    if (max < lengthOf(tail)) fail(`expected length >= ${lengthOf(tail)}, got ${max}`);
    if (items.length <= max + integerArgument(leeway, 5)) return text(items.join(""));
    const cut = items.slice(0, max - lengthOf(tail)).join("");
    const space = cut.lastIndexOf(" ");
    return text((killWords !== undefined && truth(killWords)) || space < 0 ? cut + tail : cut.slice(0, space) + tail);
  }],
  unique: ["case_sensitive attribute", (value, [caseSensitive, attribute]) => {
    const seen = [];
    return generator(iterate(value).filter((item) => {
      const key = folded(caseSensitive)(pathOf(attribute)(item));
      if (key instanceof ObjectValue || (key instanceof ArrayValue && key.type === "ArrayValue")) fail(`unhashable type: '${typeName(key)}'`);
      return seen.some((other) => same(other, key)) ? false : seen.push(key);
    }));
  }],
  upper: ["", (value) => text(str(value).toUpperCase())],
  wordcount: ["", (value) => integer((str(value).match(/[\p{L}\p{N}_]+/gu) ?? []).length)],
};
Object.assign(FILTERS, { count: FILTERS.length, d: FILTERS.default, e: FILTERS.escape });

/** What map and select go over: anything false, such as none, is empty. */
const sequence = (value) => (truth(value) ? iterate(value) : []);

function selected(value, args, engine, keeps, byAttribute) {
  const rest = args.slice();
  const path = byAttribute ? pathOf(rest.shift() ?? fail("Missing parameter for attribute name")) : (item) => item;
  const name = rest.length > 0 ? stringArgument(rest.shift(), "the name of a test") : null;
  const test = (item) => (name === null ? truth(item) : engine.test(name, item, rest));
  return generator(sequence(value).filter((item) => test(path(item)) === keeps));
}

const comparison = (holds, operator) => ["other!", (value, [other]) => holds(compare(value, other, operator))];
const equality = ["other!", (value, [other]) => same(value, other)];
const remainder = (value, divisor) => {
  const number = isNumber(defined(value)) ? numberOf(value) : fail(`not all arguments converted: ${typeName(value)} is no number`);
  return ((number % divisor) + divisor) % divisor;
};
const letters = (value) => (value instanceof StringValue ? value.value : str(value));

/** Tests by name: parameters and body. */
const TESTS = {
  boolean: ["", (value) => value instanceof BooleanValue],
  callable: ["", (value) => value instanceof FunctionValue || isUndefined(value)],
  defined: ["", (value) => !isUndefined(value)],
  undefined: ["", (value) => isUndefined(value)],
  divisibleby: ["num!", (value, [divisor]) => remainder(value, numberOf(divisor)) === 0],
  escaped: ["", (value) => value instanceof MarkupValue],
  even: ["", (value) => remainder(value, 2) === 0],
  odd: ["", (value) => remainder(value, 2) === 1],
  false: ["", (value) => value instanceof BooleanValue && !value.value],
  true: ["", (value) => value instanceof BooleanValue && value.value],
  float: ["", (value) => value instanceof FloatValue],
  integer: ["", (value) => value instanceof IntegerValue],
  number: ["", isNumber],
  in: ["seq!", (value, [container]) => contains(container, value)],
  iterable: ["", (value) => value instanceof ArrayValue || value instanceof ObjectValue || value instanceof StringValue
    || value instanceof LoopValue || isUndefined(value)],
  lower: ["", (value) => cased(letters(value), letters(value).toLowerCase()).value],
  upper: ["", (value) => cased(letters(value), letters(value).toUpperCase()).value],
  mapping: ["", (value) => value instanceof ObjectValue],
  none: ["", (value) => value instanceof NullValue],
  sameas: ["other!", (value, [other]) => {
    if (value.type === other.type && (isNone(value) || value instanceof BooleanValue)) return value.value === other.value;
    const byValue = value.type === other.type && (isNumber(value) || value instanceof StringValue) && same(value, other);
    return byValue ? fail("the test sameas of numbers and texts is not supported") : value === other;
  }],
  sequence: ["", (value) => value instanceof StringValue || value instanceof ObjectValue || isUndefined(value)
    || (ordinary(value) && !(value.kind ?? "").startsWith("dict_"))],
  string: ["", (value) => value instanceof StringValue],
  eq: equality, equalto: equality, "==": equality,
  ne: ["other!", (value, [other]) => !same(value, other)],
  gt: comparison((order) => order > 0, ">"), ge: comparison((order) => order >= 0, ">="),
  lt: comparison((order) => order < 0, "<"), le: comparison((order) => order <= 0, "<="),
};
Object.assign(TESTS, { "!=": TESTS.ne, ">": TESTS.gt, greaterthan: TESTS.gt, ">=": TESTS.ge, "<": TESTS.lt, lessthan: TESTS.lt, "<=": TESTS.le });
