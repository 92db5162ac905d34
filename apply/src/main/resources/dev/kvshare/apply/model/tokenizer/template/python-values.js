// What Python does with the package's values: text, equality, order, JSON.
const MAX_TEXT = 4 * 1024 * 1024;
const MAX_PARTS = 200000;

/** Anything that ends a rendering; `raised` where the template itself refuses the conversation. */
class TemplateFailure extends Error {
  constructor(message, line, raised = false) {
    super(message);
    this.line = line;
    this.raised = raised;
  }
}

const fail = (message) => {
  throw new TemplateFailure(message);
};
const tooLarge = () => fail(`its text grows beyond ${MAX_TEXT} characters`);

/** A variable that is not there; the hint is Python's message where it is used. */
function missing(hint) {
  const value = new UndefinedValue();
  value.hint = hint;
  return value;
}

/** A view or iterator of Python: "range", "dict_items", "generator" and the like. */
class SequenceValue extends ArrayValue {
  constructor(items, kind, text) {
    super(items);
    this.kind = kind;
    this.text = text;
  }

  __bool__() {
    return new BooleanValue(this.kind === "generator" || this.value.length > 0);
  }
}

/** What `safe` and `escape` give: Python escapes what is added to it. */
class MarkupValue extends StringValue {}

const escaped = (string) =>
  string.replace(/[&<>'"]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;" })[char]);

/** The variable `loop`. */
class LoopValue extends RuntimeValue {
  constructor(attributes) {
    super(attributes);
    this.type = "LoopValue";
  }
}

const text = (value) => new StringValue(value.length > MAX_TEXT ? tooLarge() : value);
const bool = (value) => new BooleanValue(value);
const list = (items) => new ArrayValue(items);
const generator = (items) => new SequenceValue(items, "generator");
const integer = (value) =>
  Number.isSafeInteger(value) ? new IntegerValue(value + 0) : fail("it counts beyond 2^53, which kvshare's chat templates cannot");
const truth = (value) => value.__bool__().value;
const isNumber = (value) => value instanceof IntegerValue || value instanceof FloatValue || value instanceof BooleanValue;
const numberOf = (value) => (isNumber(value) ? Number(value.value) : fail(`a number was expected, not ${typeName(value)}`));
const isUndefined = (value) => value instanceof UndefinedValue;
const isNone = (value) => value === undefined || value instanceof NullValue;
const ordinary = (value) => value instanceof ArrayValue && value.kind !== "generator";

function defined(value) {
  return isUndefined(value) ? fail(value.hint ?? "a variable is undefined") : value;
}

function typeName(value) {
  if (value instanceof SequenceValue) return value.kind;
  const names = {
    IntegerValue: "int", FloatValue: "float", StringValue: "str", BooleanValue: "bool", ObjectValue: "dict",
    NamespaceValue: "Namespace", ArrayValue: "list", TupleValue: "tuple", FunctionValue: "function",
    NullValue: "NoneType", UndefinedValue: "Undefined", LoopValue: "LoopContext",
  };
  return names[value.type] ?? value.type;
}

/** A key of a mapping as the package's Map holds it, and back. */
function keyOf(value) {
  if (value instanceof NullValue) return null;
  if (value instanceof StringValue || value instanceof IntegerValue) return value.value;
  return fail(`a key of type '${typeName(value)}' in a mapping is not supported`);
}

function keyValue(key) {
  return key === null ? new NullValue() : typeof key === "number" ? new IntegerValue(key) : new StringValue(key);
}

/** What a mapping holds under a key; undefined where it holds nothing. */
function lookUp(object, key) {
  const plain = isNumber(key) ? Number(key.value) : key instanceof NullValue ? null : key.value;
  return ["string", "number"].includes(typeof plain) || plain === null ? object.value.get(plain) : undefined;
}

/** Code points, as Python counts. */
const characters = (string) => (/[\ud800-\udfff]/.test(string) ? Array.from(string) : string.split(""));
const lengthOf = (string) => (/[\ud800-\udfff]/.test(string) ? characters(string).length : string.length);

/** The items that a loop sees; an iterator is used up. */
function iterate(value) {
  if (value instanceof ArrayValue) {
    const items = value.value;
    if (value.kind === "generator") value.value = [];
    return items;
  }
  if (value instanceof ObjectValue) return Array.from(value.value.keys(), keyValue);
  if (value instanceof StringValue) return characters(value.value).map((char) => new StringValue(char));
  if (isUndefined(value)) return [];
  return fail(`'${typeName(value)}' object is not iterable`);
}

/** Collects text and stops where it grows too large, however often its parts share one value. */
class Writer {
  constructor() {
    this.parts = [];
    this.size = 0;
  }

  add(part) {
    this.size += part.length;
    if (this.size > MAX_TEXT) tooLarge();
    if (this.parts.push(part) > MAX_PARTS) fail(`printing a value with more than ${MAX_PARTS} parts is not supported`);
  }

  toString() {
    return this.parts.join("");
  }
}

function floatText(x) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  const [digits, power] = x.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const plain = Object.is(x, -0) ? "-0" : String(x);
  return plain.includes(".") ? plain : plain + ".0";
}

/** Python's str(). */
function str(value) {
  if (value instanceof StringValue) return value.value;
  if (isUndefined(value)) return "";
  if (value instanceof IntegerValue) return String(value.value);
  const writer = new Writer();
  writeRepr(value, writer);
  return writer.toString();
}

function repr(value) {
  const writer = new Writer();
  writeRepr(value, writer);
  return writer.toString();
}

function writeRepr(value, writer) {
  switch (value.type) {
    case "NullValue":
      return writer.add("None");
    case "UndefinedValue":
      return writer.add("Undefined");
    case "BooleanValue":
      return writer.add(value.value ? "True" : "False");
    case "IntegerValue":
      return writer.add(String(value.value));
    case "FloatValue":
      return writer.add(floatText(value.value));
    case "StringValue":
      return writer.add(value instanceof MarkupValue ? `Markup(${quoted(value.value)})` : quoted(value.value));
    case "ObjectValue":
      return writeAll(writer, "{", "}", value.value, ([key, item]) => {
        writeRepr(keyValue(key), writer);
        writer.add(": ");
        writeRepr(item, writer);
      });
    case "ArrayValue":
    case "TupleValue": {
      const item = (element) => writeRepr(element, writer);
      if (value.type === "TupleValue") return writeAll(writer, "(", value.value.length === 1 ? ",)" : ")", value.value, item);
      if (!(value instanceof SequenceValue)) return writeAll(writer, "[", "]", value.value, item);
      if (value.text !== undefined) return writer.add(value.text);
      if (value.kind.startsWith("dict_")) return writeAll(writer, value.kind + "([", "])", value.value, item);
    }
  }
  return fail(`printing a ${typeName(value)} is not supported`);
}

function writeAll(writer, open, close, items, write, separator = ", ") {
  writer.add(open);
  let first = true;
  for (const item of items) {
    if (!first) writer.add(separator);
    first = false;
    write(item);
  }
  writer.add(close);
}

function quoted(string) {
  const quote = string.includes("'") && !string.includes('"') ? '"' : "'";
  const printable = string.replace(/[\\'"]|[^\x20-\x7e]/gu, (char) => {
    if (char === "\\" || char === quote) return "\\" + char;
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    if (char === "\t") return "\\t";
    const code = char.codePointAt(0);
    if (code >= 0x20 && code !== 0x7f && !/[\p{C}\p{Z}]/u.test(char)) return char;
    if (char === " ") return char;
    if (code < 0x100) return "\\x" + code.toString(16).padStart(2, "0");
    return code < 0x10000 ? "\\u" + code.toString(16).padStart(4, "0") : "\\U" + code.toString(16).padStart(8, "0");
  });
  return quote + printable + quote;
}

/** Python's `==`. */
function same(a, b) {
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (a instanceof StringValue && b instanceof StringValue) return a.value === b.value;
  if (a.type !== b.type || a.kind !== b.kind) return false;
  if (isUndefined(a) || isNone(a)) return true;
  if (ordinary(a)) return a === b || (a.value.length === b.value.length && a.value.every((item, i) => same(item, b.value[i])));
  if (a instanceof ObjectValue) {
    return a.value.size === b.value.size && Array.from(a.value).every(([key, item]) => b.value.has(key) && same(item, b.value.get(key)));
  }
  return a === b;
}

/** Negative, zero or positive as Python orders two values. */
function compare(a, b, operator = "<") {
  if (isNumber(a) && isNumber(b)) return Number(a.value) - Number(b.value);
  if (a instanceof StringValue && b instanceof StringValue) {
    if (!/[\ud800-\udfff]/.test(a.value + b.value)) return a.value < b.value ? -1 : Number(a.value > b.value);
    const [left, right] = [characters(a.value), characters(b.value)];
    for (let i = 0; i < left.length && i < right.length; i++) {
      if (left[i] !== right[i]) return left[i].codePointAt(0) - right[i].codePointAt(0);
    }
    return left.length - right.length;
  }
  defined(a);
  defined(b);
  if (a.type === b.type && ordinary(a) && !(a instanceof SequenceValue) && !(b instanceof SequenceValue)) {
    for (let i = 0; i < a.value.length && i < b.value.length; i++) {
      if (!same(a.value[i], b.value[i])) return compare(a.value[i], b.value[i], operator);
    }
    return a.value.length - b.value.length;
  }
  return fail(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** Python's `item in container`. */
function contains(container, item) {
  if (container instanceof StringValue) {
    return item instanceof StringValue
      ? container.value.includes(item.value)
      : fail(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof ObjectValue) return lookUp(container, item) !== undefined;
  if (container instanceof ArrayValue || isUndefined(container)) return iterate(container).some((element) => same(element, item));
  return fail(`argument of type '${typeName(container)}' is not iterable`);
}

/** json.dumps(). */
function toJson(value, { indent, ensureAscii, separators, sortKeys }) {
  const writer = new Writer();
  const [comma, colon] = separators ?? [indent === null ? ", " : ",", ": "];
  const string = (content) => {
    const plain = JSON.stringify(content).replace(/\\u(d[89a-f][\da-f]{2})/g, (all, code) => String.fromCharCode(parseInt(code, 16)));
    return ensureAscii ? plain.replace(/[\x7f-\uffff]/g, (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0")) : plain;
  };
  const write = (item, depth) => {
    const all = (open, close, items, writeOne) => {
      if (items.length === 0) return writer.add(open + close);
      const line = (n) => (indent === null ? "" : "\n" + indent.repeat(n));
      return writeAll(writer, open + line(depth + 1), line(depth) + close, items, writeOne, comma + line(depth + 1));
    };
    if (item instanceof NullValue) writer.add("null");
    else if (item instanceof BooleanValue) writer.add(String(item.value));
    else if (item instanceof IntegerValue) writer.add(String(item.value));
    else if (item instanceof FloatValue) writer.add(floatText(item.value).replace("nan", "NaN").replace("inf", "Infinity"));
    else if (item instanceof StringValue) writer.add(string(item.value));
    else if (item instanceof ArrayValue && !(item instanceof SequenceValue)) all("[", "]", item.value, (element) => write(element, depth + 1));
    else if (item instanceof ObjectValue) {
      const entries = Array.from(item.value);
      if (sortKeys) entries.sort(([a], [b]) => compare(keyValue(a), keyValue(b)));
      all("{", "}", entries, ([key, element]) => {
        writer.add(string(key === null ? "null" : String(key)) + colon);
        write(element, depth + 1);
      });
    } else fail(`Object of type ${typeName(item)} is not JSON serializable`);
  };
  write(value, 0);
  return writer.toString();
}

/** Python's round(): half to even. */
function rounded(x, digits) {
  if (digits < 0) return rounded(x / 10 ** -digits, 0) * 10 ** -digits;
  if (digits > 15 || Math.abs(x) > 1e15) return x;
  // toFixed() rounds the exact value of x, but a tie upwards.
  const [whole, fraction] = Math.abs(x).toFixed(100).split(".");
  const tie = /^50*$/.test(fraction.slice(digits)) && Number((whole + fraction.slice(0, digits)).at(-1)) % 2 === 0;
  const size = tie ? Number(`${whole}.${fraction.slice(0, digits)}`) : Number(Math.abs(x).toFixed(digits));
  return x < 0 ? -size : size;
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
];

/**
 * datetime.strftime() with the forms of the GNU C library.
 *
 * @param now year, month, day, hour, minute, second, microsecond
 */
function strftime(format, [year, month, day, hour, minute, second, micro]) {
  const date = Date.UTC(year, month - 1, day);
  const weekday = new Date(date).getUTCDay();
  const yearDay = Math.round((date - Date.UTC(year, 0, 1)) / 86400000) + 1;
  const monday = (weekday + 6) % 7;
  // ISO 8601: a week belongs to the year of its Thursday.
  const thursday = new Date(date + (3 - monday) * 86400000);
  const isoYear = thursday.getUTCFullYear();
  const isoWeek = Math.floor((thursday.getTime() - Date.UTC(isoYear, 0, 1)) / 86400000 / 7) + 1;
  const number = (value, width, fill = "0") => ({ value, width, fill });
  const forms = {
    a: () => DAYS[weekday].slice(0, 3), A: () => DAYS[weekday],
    b: () => MONTHS[month - 1].slice(0, 3), B: () => MONTHS[month - 1], h: () => MONTHS[month - 1].slice(0, 3),
    C: () => number(Math.floor(year / 100), 2), d: () => number(day, 2), e: () => number(day, 2, " "),
    f: () => number(micro, 6), g: () => number(isoYear % 100, 2), G: () => number(isoYear, 1),
    H: () => number(hour, 2), I: () => number(hour % 12 || 12, 2), j: () => number(yearDay, 3),
    k: () => number(hour, 2, " "), l: () => number(hour % 12 || 12, 2, " "),
    m: () => number(month, 2), M: () => number(minute, 2), S: () => number(second, 2),
    p: () => (hour < 12 ? "AM" : "PM"), P: () => (hour < 12 ? "am" : "pm"),
    u: () => number(monday + 1, 1), w: () => number(weekday, 1),
    U: () => number(Math.floor((yearDay + 6 - weekday) / 7), 2), W: () => number(Math.floor((yearDay + 6 - monday) / 7), 2),
    V: () => number(isoWeek, 2), y: () => number(year % 100, 2), Y: () => number(year, 1),
    z: () => "", Z: () => "", n: () => "\n", t: () => "\t", "%": () => "%",
    c: () => strftime("%a %b %e %H:%M:%S %Y", [year, month, day, hour, minute, second, micro]),
    D: () => strftime("%m/%d/%y", [year, month, day, hour, minute, second, micro]),
    F: () => strftime("%Y-%m-%d", [year, month, day, hour, minute, second, micro]),
    r: () => strftime("%I:%M:%S %p", [year, month, day, hour, minute, second, micro]),
    R: () => strftime("%H:%M", [year, month, day, hour, minute, second, micro]),
  };
  Object.assign(forms, { x: forms.D, T: () => strftime("%H:%M:%S", [year, month, day, hour, minute, second, micro]) });
  forms.X = forms.T;
  return format.replace(/%([-_0^#]?)([^])/g, (all, flag, letter) => {
    if (!Object.hasOwn(forms, letter) || (flag !== "" && "zZnt%fcDFrRxXT".includes(letter))) {
      return fail(`strftime_now does not support the form ${all}`);
    }
    const part = forms[letter]();
    if (typeof part === "string") {
      if (flag === "#") return letter === "p" ? part.toLowerCase() : part.toUpperCase();
      return flag === "^" ? part.toUpperCase() : part;
    }
    const fill = flag === "_" ? " " : flag === "0" ? "0" : part.fill;
    return flag === "-" ? String(part.value) : String(part.value).padStart(part.width, fill);
  });
}
