// Cuts a template into the package's tokens exactly as Python's Jinja does with trim_blocks and
// lstrip_blocks: the package's own lexer works by replacements over the whole text, strings included.
//
// Beyond that it writes three things so that the package's parser keeps what it would lose:
// - `x is name arg` becomes the filter `x | "is name"(arg)`: the parser knows no arguments of tests;
// - `(x)` becomes a call of the name GROUP, `(x,)` and `()` one of TUPLE: the parser drops brackets, and
//   then `(a == b) == c` is the same as the chain `a == b == c`;
// - a comment token holds the line of the tag that follows.
const GROUP = "(";
const TUPLE = "(,";
const GENERATION = "{% generation %}";
const MAX_BRACKETS = 100;

const PYTHON_SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES_ONLY = new RegExp(`^[${PYTHON_SPACE}]+$`);
const SPACES_AT_END = new RegExp(`[${PYTHON_SPACE}]+$`);
const SPACES = new RegExp(`[${PYTHON_SPACE}]*`, "y");
const SPACES_AT_START = new RegExp(`^[${PYTHON_SPACE}]+`);

const FLOAT = "(?:\\d+_)*\\d+(?:(?:\\.(?:\\d+_)*\\d+)?[eE][+-]?(?:\\d+_)*\\d+|\\.(?:\\d+_)*\\d+)";
const INTEGER = "0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*";
const NAME = "[\\p{L}\\p{Nl}_][\\p{L}\\p{Nl}\\p{Nd}\\p{Mn}\\p{Mc}\\p{Pc}]*";
const STRING = "'[^'\\\\]*(?:\\\\[^][^'\\\\]*)*'|\"[^\"\\\\]*(?:\\\\[^][^\"\\\\]*)*\"";
const OPERATOR = "\\*\\*|//|==|!=|>=|<=|[-+/*%~\\[\\](){}><=.:|,;]";
const KINDS = ["name", "string", "operator", "float", "integer"];
/** Spaces, then one token; a digit behind a dot begins an index, never a fraction. */
const TOKEN = new RegExp(`[${PYTHON_SPACE}]*(?:(${NAME})|(${STRING})|(${OPERATOR})|((?<!\\.)${FLOAT})|(${INTEGER})|$)`, "yu");

const OPERATORS = {
  "+": "AdditiveBinaryOperator", "-": "AdditiveBinaryOperator", "~": "AdditiveBinaryOperator",
  "*": "MultiplicativeBinaryOperator", "/": "MultiplicativeBinaryOperator",
  "//": "MultiplicativeBinaryOperator", "%": "MultiplicativeBinaryOperator",
  "**": "ExponentiationBinaryOperator", "=": "Equals",
  "==": "ComparisonBinaryOperator", "!=": "ComparisonBinaryOperator", "<": "ComparisonBinaryOperator",
  ">": "ComparisonBinaryOperator", "<=": "ComparisonBinaryOperator", ">=": "ComparisonBinaryOperator",
  "(": "OpenParen", ")": "CloseParen", "[": "OpenSquareBracket", "]": "CloseSquareBracket",
  "{": "OpenCurlyBracket", "}": "CloseCurlyBracket",
  ",": "Comma", ".": "Dot", ":": "Colon", "|": "Pipe",
};
const CLOSING = { "(": ")", "[": "]", "{": "}" };

function pythonTokens(source) {
  const text = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const begin = /\{([%{#])([-+]?)/g;
  const tokens = [];
  let position = 0;
  let line = 1;
  let lineStarts = true;

  const fail = (message) => {
    throw new TemplateFailure(message, line);
  };
  const advance = (end) => {
    const part = text.slice(position, end);
    for (let i = part.indexOf("\n"); i >= 0; i = part.indexOf("\n", i + 1)) line++;
    lineStarts = text[end - 1] === "\n";
    position = end;
  };
  const pushText = (data) => {
    if (data !== "") tokens.push(new Token(data, "Text"));
  };
  // The text before a tag, without what the tag's sign or lstrip_blocks takes away.
  const strip = (data, sign, isVariable) => {
    if (sign === "-") return data.replace(SPACES_AT_END, "");
    if (sign !== "+" && !isVariable) {
      const lineStart = data.lastIndexOf("\n") + 1;
      if ((lineStart > 0 || lineStarts) && SPACES_ONLY.test(data.slice(lineStart))) return data.slice(0, lineStart);
    }
    return data;
  };
  // Where the text goes on after the end of a tag.
  const afterTag = (end, sign, trimsNewline) => {
    if (sign === "-") return end + (SPACES_AT_START.exec(text.slice(end))?.[0].length ?? 0);
    return sign !== "+" && trimsNewline && text[end] === "\n" ? end + 1 : end;
  };

  const readComment = () => {
    const end = /(-|\+|)#\}/g;
    end.lastIndex = position;
    const match = end.exec(text);
    if (match === null) fail("a comment is not closed");
    advance(afterTag(end.lastIndex, match[1], true));
  };
  const readRaw = (start) => {
    const end = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
    end.lastIndex = start;
    const match = end.exec(text);
    if (match === null) fail("{% raw %} is not closed");
    pushText(strip(text.slice(start, match.index), match[1], false));
    advance(afterTag(end.lastIndex, match[2], true));
  };
  const readTag = (isVariable) => {
    const close = isVariable ? /(-?)\}\}/y : /([-+]?)%\}/y;
    const raw = [];
    const open = [];
    for (;;) {
      if (open.length === 0) {
        skipSpaces();
        close.lastIndex = position;
        const match = close.exec(text);
        if (match !== null) {
          pushTag(tokens, raw, isVariable);
          advance(afterTag(close.lastIndex, match[1], !isVariable));
          return;
        }
      }
      const token = readToken();
      if (token.value in CLOSING && token.type.startsWith("Open")) {
        open.push(token);
        if (open.length > MAX_BRACKETS) fail(`brackets are nested deeper than ${MAX_BRACKETS}`);
      } else if (token.type.startsWith("Close")) {
        const opened = open.pop();
        if (opened === undefined || CLOSING[opened.value] !== token.value) fail(`unexpected '${token.value}'`);
        opened.partner = token;
      }
      raw.push(token);
    }
  };
  const skipSpaces = () => {
    SPACES.lastIndex = position;
    SPACES.exec(text);
    if (SPACES.lastIndex > position) advance(SPACES.lastIndex);
  };
  const readToken = () => {
    TOKEN.lastIndex = position;
    const match = TOKEN.exec(text);
    if (match === null) {
      const rest = text.slice(position).replace(SPACES_AT_START, "");
      fail(`unexpected character ${JSON.stringify(String.fromCodePoint(rest.codePointAt(0)))}`);
    }
    const kind = KINDS.findIndex((_, i) => match[i + 1] !== undefined);
    if (kind < 0) fail("a tag is not closed");
    const start = position + match[0].length - match[kind + 1].length;
    if (start > position) advance(start);
    const token = makeToken(KINDS[kind], match[kind + 1], fail);
    token.line = line;
    advance(TOKEN.lastIndex);
    return token;
  };

  for (;;) {
    begin.lastIndex = position;
    const match = begin.exec(text);
    if (match === null) {
      pushText(text.slice(position));
      return tokens;
    }
    const isVariable = match[1] === "{";
    pushText(strip(text.slice(position, match.index), match[2], isVariable));
    const raw = /\{%[-+]?\s*raw\s*(-?)%\}/y;
    raw.lastIndex = match.index;
    const rawMatch = raw.exec(text);
    if (rawMatch !== null) {
      readRaw(afterTag(raw.lastIndex, rawMatch[1], false));
      continue;
    }
    advance(begin.lastIndex);
    if (match[1] === "#") {
      readComment();
    } else {
      const marker = new Token(String(line), "Comment");
      marker.line = line;
      tokens.push(marker);
      readTag(isVariable);
    }
  }
}

function makeToken(kind, text, fail) {
  switch (kind) {
    case "name":
      return new Token(text, "Identifier");
    case "string":
      return new Token(unescape(text.slice(1, -1), fail), "StringLiteral");
    case "integer": {
      const value = Number(text.replace(/_/g, ""));
      if (!Number.isSafeInteger(value)) fail(`the number ${text} is larger than kvshare's chat templates can count`);
      return new Token(String(value), "NumericLiteral");
    }
    case "float": {
      const plain = String(Number(text.replace(/_/g, "")));
      if (plain.includes("e") || plain === "Infinity") fail(`the number ${text} is not supported`);
      return new Token(plain.includes(".") ? plain : plain + ".0", "NumericLiteral");
    }
    default:
      if (!(text in OPERATORS)) fail(`unexpected '${text}'`);
      return new Token(text, OPERATORS[text]);
  }
}

const SIMPLE_ESCAPES = {
  "\n": "", "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v",
};

function unescape(text, fail) {
  return text.replace(/\\(?:x([^]{0,2})|u([^]{0,4})|U([^]{0,8})|([0-7]{1,3})|([^]))/g, (all, x, u, U, octal, letter) => {
    const hex = x ?? u ?? U;
    if (hex !== undefined) {
      if (!/^[\da-fA-F]+$/.test(hex) || hex.length !== { x: 2, u: 4, U: 8 }[all[1]] || parseInt(hex, 16) > 0x10ffff) {
        fail(`the escape ${all} in a string is damaged`);
      }
      return String.fromCodePoint(parseInt(hex, 16));
    }
    if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8));
    if (letter === "N") fail("the escape \\N{...} in a string is not supported");
    return SIMPLE_ESCAPES[letter] ?? all;
  });
}

const NO_CALLEE = new Set(["and", "or", "not", "in", "if", "else", "elif", "is"]);

/** Appends a tag's tokens, rewritten as the head of this file says. */
function pushTag(tokens, raw, isVariable) {
  const push = (value, type, line) => {
    const token = new Token(value, type);
    token.line = line;
    tokens.push(token);
  };
  const first = raw[0]?.type === "Identifier" ? raw[0].value : "";
  const lineOfTag = tokens[tokens.length - 1].line;
  push(isVariable ? "{{" : "{%", isVariable ? "OpenExpression" : "OpenStatement", lineOfTag);
  if (!isVariable && raw.length === 1 && (first === "generation" || first === "endgeneration")) {
    // As in transformers, a block of its own: what it sets stays inside.
    push(first === "generation" ? "call" : "endcall", "Identifier", lineOfTag);
    if (first === "generation") {
      push(GENERATION, "Identifier", lineOfTag);
      push("(", "OpenParen", lineOfTag);
      push(")", "CloseParen", lineOfTag);
    }
  } else {
    // Brackets before this are targets of `for` and `set`, which the parser reads as such.
    const separator = isVariable ? -1
      : first === "for" ? raw.findIndex((token) => token.value === "in" && token.type === "Identifier")
      : first === "set" ? raw.findIndex((token) => token.type === "Equals") : -1;
    const closers = new Map();
    let lastTest = -2;
    for (let i = 0; i < raw.length; i++) {
      const token = raw[i];
      const previous = raw[i - 1];
      const isCall = i === lastTest + 1 || callsPrevious(previous) || (first === "call" && i === 1);
      if (token.type === "OpenParen" && i > separator && !isCall) {
        push(isTuple(raw, i) ? TUPLE : GROUP, "Identifier", token.line);
      }
      if (token.type === "Identifier" && token.value === "is" && previous?.type !== "Dot") {
        i = pushTest(raw, i, push, closers);
        lastTest = i;
      } else {
        tokens.push(token);
      }
      for (let n = closers.get(i) ?? 0; n > 0; n--) push(")", "CloseParen", token.line);
    }
  }
  push(isVariable ? "}}" : "%}", isVariable ? "CloseExpression" : "CloseStatement", raw[raw.length - 1]?.line ?? lineOfTag);
}

function callsPrevious(previous) {
  if (previous === undefined) return false;
  if (previous.type === "Identifier") return !NO_CALLEE.has(previous.value);
  return ["CloseParen", "CloseSquareBracket", "CloseCurlyBracket", "StringLiteral"].includes(previous.type);
}

function isTuple(raw, open) {
  const end = raw.indexOf(raw[open].partner, open);
  let depth = 0;
  for (let i = open + 1; i < end; i++) {
    if (raw[i].type === "Comma" && depth === 0) return true;
    if (raw[i].partner !== undefined) depth++;
    else if (raw[i].type.startsWith("Close")) depth--;
  }
  return end === open + 1;
}

/** Writes `is name` as a filter and notes after which token a bracket around its argument ends. */
function pushTest(raw, is, push, closers) {
  let i = is + 1;
  const negated = raw[i]?.value === "not" && raw[i].type === "Identifier";
  if (negated) i++;
  const name = raw[i];
  if (name?.type !== "Identifier") throw new TemplateFailure("the name of a test is missing after 'is'", raw[is].line);
  push("|", "Pipe", name.line);
  push((negated ? "is not " : "is ") + name.value, "Identifier", name.line);
  const next = raw[i + 1];
  const takesArgument =
    next !== undefined &&
    ["Identifier", "StringLiteral", "NumericLiteral", "OpenSquareBracket", "OpenCurlyBracket"].includes(next.type) &&
    !(next.type === "Identifier" && ["else", "or", "and"].includes(next.value));
  if (takesArgument) {
    push("(", "OpenParen", next.line);
    let end = i + 1;
    if (next.partner !== undefined) end = raw.indexOf(next.partner, end);
    while (next.type === "StringLiteral" && raw[end + 1]?.type === "StringLiteral") end++;
    for (;;) {
      const follower = raw[end + 1];
      if (follower?.type === "Dot") end += 2;
      else if (follower?.partner !== undefined && follower.type !== "OpenCurlyBracket") end = raw.indexOf(follower.partner, end);
      else break;
    }
    closers.set(end, (closers.get(end) ?? 0) + 1);
  }
  return i;
}
