// The package's interpreter with Python's semantics where it differs.
const MAX_DEPTH = 400;
const MAX_RANGE = 100000;
const SILENT = new Set(["Set", "Macro"]);

/** Methods by type of node: the package asks for the types one after the other. */
const METHODS = {
  Identifier: "evaluateIdentifier", StringLiteral: "evaluateString", MemberExpression: "evaluateMemberExpression",
  BinaryExpression: "evaluateBinaryExpression", If: "evaluateIf", Set: "evaluateSet", For: "evaluateFor",
  FilterExpression: "evaluateFilterExpression", CallExpression: "evaluateCallExpression", ObjectLiteral: "evaluateObject",
};
const COMPARISONS = new Set(["==", "!=", "<", ">", "<=", ">=", "in", "not in"]);

/** Variables of one block; the package's environment makes much more for each. */
class Scope {
  constructor(parent, variables = []) {
    this.parent = parent;
    this.variables = new Map(variables);
  }

  setVariable(name, value) {
    this.variables.set(name, value);
  }

  lookupVariable(name) {
    for (let scope = this; scope !== undefined; scope = scope.parent) {
      const value = scope.variables.get(name);
      if (value !== undefined) return value;
    }
    return missing(`'${name}' is undefined`);
  }
}

/** A loop over items that are tested when they are needed, as Python's generators do. */
class LoopItems {
  constructor(items, accepts) {
    this.items = items;
    this.accepts = accepts;
    this.next = 0;
    this.ready = [];
    this.index = -1;
  }

  fill(count) {
    while (this.ready.length < count && this.next < this.items.length) {
      const item = this.items[this.next++];
      if (this.accepts === null || this.accepts(item)) this.ready.push(item);
    }
    return this.ready.length >= count;
  }

  advance() {
    if (!this.fill(1)) return false;
    this.previous = this.current;
    this.current = this.ready.shift();
    this.index++;
    return true;
  }

  get length() {
    this.fill(Infinity);
    return this.index + 1 + this.ready.length;
  }

  attribute(name) {
    switch (name) {
      case "index": return integer(this.index + 1);
      case "index0": return integer(this.index);
      case "revindex": return integer(this.length - this.index);
      case "revindex0": return integer(this.length - this.index - 1);
      case "first": return bool(this.index === 0);
      case "last": return bool(!this.fill(1));
      case "length": return integer(this.length);
      case "depth": return integer(1);
      case "depth0": return integer(0);
      case "previtem": return this.index > 0 ? this.previous : missing("there is no previous item");
      case "nextitem": return this.fill(1) ? this.ready[0] : missing("there is no next item");
      case "cycle": return new FunctionValue((args) => args.length > 0 ? args[this.index % args.length] : fail("no items for cycling given"));
      case "changed": return new FunctionValue((args) => {
        const unchanged = this.last !== undefined && same(this.last, list(args));
        this.last = list(args);
        return bool(!unchanged);
      });
      default: return undefined;
    }
  }
}

class PythonInterpreter extends Interpreter {
  constructor(scope) {
    super(scope);
    this.depth = 0;
    this.line = 1;
  }

  evaluate(node, scope) {
    if (++this.depth > MAX_DEPTH) fail(`it is nested deeper than ${MAX_DEPTH} levels, or its macros call each other without end`);
    const method = METHODS[node?.type];
    const value = method === undefined ? super.evaluate(node, scope) : this[method](node, scope);
    this.depth--;
    return value;
  }

  evaluateBlock(statements, scope) {
    let written = "";
    try {
      for (let i = 0; i < statements.length; i++) {
        const statement = statements[i];
        if (statement.type === "Comment") {
          this.line = Number(statement.value);
        } else {
          const value = this.evaluate(statement, scope);
          if (!SILENT.has(statement.type)) written += str(value);
          if (written.length > MAX_TEXT) tooLarge();
        }
      }
    } catch (error) {
      // What a loop's body wrote before it was left stays.
      if (error instanceof BreakControl || error instanceof ContinueControl) error.text = written + (error.text ?? "");
      throw error;
    }
    return new StringValue(written);
  }

  evaluateString(node) {
    return new StringValue(node.value);
  }

  evaluateObject(node, scope) {
    return new ObjectValue(
      new Map(Array.from(node.value, ([key, value]) => [keyOf(this.evaluate(key, scope)), this.evaluate(value, scope)])),
    );
  }

  evaluateIdentifier(node, scope) {
    return scope.lookupVariable(node.value);
  }

  evaluateBinaryExpression(node, scope) {
    const operator = node.operator.value;
    if (operator === "and" || operator === "or") {
      const left = this.evaluate(node.left, scope);
      return truth(left) === (operator === "and") ? this.evaluate(node.right, scope) : left;
    }
    if (COMPARISONS.has(operator)) return this.evaluateComparison(node, scope);
    if (node.operator.type === "AdditiveBinaryOperator") return this.evaluateSum(node, scope);
    return this.operate(operator, this.evaluate(node.left, scope), this.evaluate(node.right, scope));
  }

  /** `a < b < c` means `a < b and b < c`; the parser makes it `(a < b) < c`. */
  evaluateComparison(node, scope) {
    const links = [];
    let first = node;
    for (; first.type === "BinaryExpression" && COMPARISONS.has(first.operator.value); first = first.left) links.unshift(first);
    let left = this.evaluate(first, scope);
    for (const link of links) {
      const right = this.evaluate(link.right, scope);
      if (!this.compares(link.operator.value, left, right)) return bool(false);
      left = right;
    }
    return bool(true);
  }

  compares(operator, left, right) {
    switch (operator) {
      case "==": return same(left, right);
      case "!=": return !same(left, right);
      case "in": return contains(right, left);
      case "not in": return !contains(right, left);
      case "<": return compare(left, right, operator) < 0;
      case ">": return compare(left, right, operator) > 0;
      case "<=": return compare(left, right, operator) <= 0;
      default: return compare(left, right, operator) >= 0;
    }
  }

  /** `~` binds closer than `+` and `-`; the parser gives all three one rank. */
  evaluateSum(node, scope) {
    const links = [];
    let first = node;
    for (; first.type === "BinaryExpression" && first.operator.type === "AdditiveBinaryOperator"; first = first.left) links.unshift(first);
    const terms = [this.evaluate(first, scope)];
    const operators = [];
    for (const link of links) {
      const value = this.evaluate(link.right, scope);
      if (link.operator.value === "~") {
        terms.push(text(str(terms.pop()) + str(value)));
      } else {
        operators.push(link.operator.value);
        terms.push(value);
      }
    }
    return operators.reduce((total, operator, i) => this.operate(operator, total, terms[i + 1]), terms[0]);
  }

  operate(operator, left, right) {
    defined(left);
    if (operator !== "%" || !(left instanceof StringValue)) defined(right);
    if (left instanceof MarkupValue || right instanceof MarkupValue) {
      const part = (value) => (value instanceof MarkupValue ? value.value : escaped(value.value));
      if (operator === "+" && left instanceof StringValue && right instanceof StringValue) return new MarkupValue(text(part(left) + part(right)).value);
      fail(`the operator ${operator} with safe text is not supported`);
    }
    if (isNumber(left) && isNumber(right)) return this.calculate(operator, left, right);
    const [a, b] = [left.value, right.value];
    if (operator === "+") {
      if (left instanceof StringValue && right instanceof StringValue) return text(a + b);
      if (left.type === right.type && ordinary(left) && left.kind === undefined && right.kind === undefined) return new left.constructor(a.concat(b));
    }
    if (operator === "*") {
      const [whole, times] = isNumber(right) ? [left, right] : [right, left];
      if (isNumber(times) && !(times instanceof FloatValue)) {
        const count = Math.max(0, Number(times.value));
        if (whole instanceof StringValue) return text(repeated(whole.value, count));
        if (ordinary(whole) && whole.kind === undefined) {
          const items = whole.value;
          if (items.length * count > MAX_RANGE) fail(`a list grows beyond ${MAX_RANGE} items`);
          return new whole.constructor(Array.from({ length: items.length * count }, (_, i) => items[i % items.length]));
        }
      }
    }
    if (operator === "%" && left instanceof StringValue) return percentFormat(a, right);
    return fail(`unsupported operand types for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
  }

  calculate(operator, left, right) {
    const [a, b] = [Number(left.value), Number(right.value)];
    const float = left instanceof FloatValue || right instanceof FloatValue;
    const result = (value) => (float ? new FloatValue(value) : integer(value));
    if (b === 0 && (operator === "/" || operator === "//" || operator === "%")) fail("division by zero");
    switch (operator) {
      case "+": return result(a + b);
      case "-": return result(a - b);
      case "*": return result(a * b);
      case "/": return new FloatValue(a / b);
      case "//": return result(Math.floor(a / b));
      case "%": return result(a % b === 0 || a % b < 0 === b < 0 ? a % b : (a % b) + b);
      case "**": {
        const value = a ** b;
        if (!Number.isFinite(value)) fail("the power is too large or not a real number");
        return float || b < 0 ? new FloatValue(value) : integer(value);
      }
      default: return fail(`the operator ${operator} is not supported`);
    }
  }

  add(left, right) {
    return this.operate("+", left, right);
  }

  evaluateCallExpression(node, scope) {
    const callee = node.callee;
    if (callee.type === "Identifier" && (callee.value === GROUP || callee.value === TUPLE)) {
      const items = node.args.map((argument) => this.evaluate(argument, scope));
      return callee.value === TUPLE ? new TupleValue(items) : items[0];
    }
    const called = defined(this.evaluate(callee, scope));
    const [args, keywords] = this.evaluateArguments(node.args, scope);
    return this.call(called, keywords.size > 0 ? [...args, new KeywordArgumentsValue(keywords)] : args, scope);
  }

  call(called, args, scope) {
    if (!(called instanceof FunctionValue)) fail(`'${typeName(called)}' object is not callable`);
    const line = this.line;
    const value = called.value(args, scope);
    this.line = line;
    return value;
  }

  /** A macro sees the variables of where it is written, not of where it is called. */
  evaluateMacro(node, scope) {
    const special = findAccessedSpecialMacroArguments(node.args, node.body);
    scope.setVariable(node.name.value, new FunctionValue((args) => {
      const own = new Scope(scope);
      const keywords = args.at(-1) instanceof KeywordArgumentsValue ? args.at(-1).value : null;
      own.setVariable("caller", keywords?.get("caller") ?? missing("No caller defined"));
      keywords?.delete("caller");
      this.bindMacro(`'${node.name.value}'`, node.args, special, args, own);
      return this.evaluateBlock(node.body, own);
    }));
    return new NullValue();
  }

  bindMacro(name, parameters, special, args, scope) {
    this.bindMacroArguments(name, parameters, special, args, scope);
    if (special.has("varargs")) scope.setVariable("varargs", new TupleValue(scope.lookupVariable("varargs").value));
  }

  evaluateCallStatement(node, scope) {
    const parameters = node.callerArgs ?? [];
    const special = findAccessedSpecialMacroArguments(parameters, node.body);
    const caller = new FunctionValue((args) => {
      const own = new Scope(scope);
      this.bindMacro("None", parameters, special, args, own);
      return this.evaluateBlock(node.body, own);
    });
    const [args, keywords] = this.evaluateArguments(node.call.args, scope);
    keywords.set("caller", caller);
    return this.call(defined(this.evaluate(node.call.callee, scope)), [...args, new KeywordArgumentsValue(keywords)], scope);
  }

  evaluateFilterStatement(node, scope) {
    return this.applyFilter(this.evaluateBlock(node.body, new Scope(scope)), node.filter, scope);
  }

  evaluateSet(node, scope) {
    let target = node.assignee;
    let value = node.value ? this.evaluate(node.value, scope) : this.evaluateBlock(node.body, new Scope(scope));
    if (!node.value && target.type === "FilterExpression" && target.operand.type === "Identifier") {
      value = this.applyFilter(value, target.filter, scope);
      target = target.operand;
    }
    this.assign(target, value, scope);
    return new NullValue();
  }

  assign(target, value, scope) {
    if (target.type === "Identifier") {
      scope.setVariable(target.value, value);
    } else if (target.type === "TupleLiteral") {
      const items = iterate(value);
      if (items.length !== target.value.length) {
        fail(`too ${items.length < target.value.length ? "few" : "many"} values to unpack (expected ${target.value.length})`);
      }
      target.value.forEach((one, i) => this.assign(one, items[i], scope));
    } else if (target.type === "MemberExpression" && !target.computed && target.property.type === "Identifier") {
      const object = this.evaluate(target.object, scope);
      if (!(object instanceof NamespaceValue)) fail("cannot assign attribute on non-namespace object");
      object.value.set(namespaceName(target.property.value), value);
    } else {
      fail("it assigns to something that is no variable");
    }
  }

  evaluateFor(node, scope) {
    const select = node.iterable.type === "SelectExpression" ? node.iterable : null;
    const source = this.evaluate(select === null ? node.iterable : select.lhs, scope);
    const inner = (item) => {
      const own = new Scope(scope);
      this.assign(node.loopvar, item, own);
      return own;
    };
    const accepts = select === null ? null : (item) => truth(this.evaluate(select.test, inner(item)));
    const items = new LoopItems(iterate(source), accepts);
    const loop = new LoopValue((name) => items.attribute(name));
    let written = "";
    let complete = false;
    while (items.advance()) {
      const own = inner(items.current);
      own.setVariable("loop", loop);
      const depth = this.depth;
      try {
        written += this.evaluateBlock(node.body, own).value;
        complete = true;
      } catch (error) {
        if (!(error instanceof BreakControl || error instanceof ContinueControl)) throw error;
        this.depth = depth;
        written += error.text;
        if (error instanceof BreakControl) break;
      }
      if (written.length > MAX_TEXT) tooLarge();
    }
    // As in Jinja, `else` runs too where `break` or `continue` left the first and only body.
    if (!complete) written += this.evaluateBlock(node.defaultBlock, new Scope(scope)).value;
    return new StringValue(written);
  }

  evaluateMemberExpression(node, scope) {
    const object = this.evaluate(node.object, scope);
    if (node.computed && node.property.type === "SliceExpression") return this.evaluateSliceExpression(object, node.property, scope);
    if (node.computed) return itemOf(object, this.evaluate(node.property, scope));
    if (node.property.type === "IntegerLiteral") return itemOf(object, new IntegerValue(node.property.value));
    // environment.getattr(): an attribute first, then an item.
    return attributeOf(defined(object), node.property.value) ?? itemOf(object, new StringValue(node.property.value));
  }

  evaluateSliceExpression(object, node, scope) {
    defined(object);
    const bounds = [node.start, node.stop, node.step].map((bound) =>
      bound === undefined ? undefined : integerArgument(defined(this.evaluate(bound, scope)), undefined));
    if (bounds[2] === 0) fail("slice step cannot be zero");
    if (object instanceof MarkupValue || object instanceof SequenceValue) fail(`a slice of '${typeName(object)}' is not supported`);
    if (object instanceof StringValue) {
      const plain = !/[\ud800-\udfff]/.test(object.value) && (bounds[2] ?? 1) === 1;
      return text(plain ? object.value.slice(bounds[0], bounds[1]) : slice(characters(object.value), ...bounds).join(""));
    }
    return object instanceof ArrayValue ? new object.constructor(slice(object.value, ...bounds)) : fail(`'${typeName(object)}' object has no slices`);
  }

  applyFilter(operand, node, scope) {
    const isCall = node.type === "CallExpression";
    const name = isCall ? node.callee.value : node.value;
    if (typeof name !== "string") fail("the name of a filter is missing after '|'");
    let args = [];
    if (isCall) {
      const [positional, keywords] = this.evaluateArguments(node.args, scope);
      args = keywords.size > 0 ? [...positional, new KeywordArgumentsValue(keywords)] : positional;
    }
    if (name.startsWith("is not ")) return bool(!this.test(name.slice(7), operand, args));
    return name.startsWith("is ") ? bool(this.test(name.slice(3), operand, args)) : this.filter(name, operand, args);
  }

  filter(name, value, args) {
    if (!Object.hasOwn(FILTERS, name)) fail(`the filter '${name}' is not supported`);
    if (value instanceof MarkupValue && !["string", "tojson", "length", "safe", "escape", "e", "replace", "join"].includes(name)) {
      fail(`the filter '${name}' of safe text is not supported`);
    }
    const [parameters, body] = FILTERS[name];
    return body(value, parameters === null ? args : bind(name, parameters, args), this);
  }

  test(name, value, args) {
    if (!Object.hasOwn(TESTS, name)) fail(`the test '${name}' is not supported`);
    const [parameters, body] = TESTS[name];
    return body(value, bind(name, parameters, args));
  }
}

const namespaceName = (name) => (name.startsWith("_") ? fail(`a namespace cannot hold the name '${name}'`) : name);

function dictOf(args) {
  const keywords = args.at(-1) instanceof KeywordArgumentsValue ? args.at(-1).value : new Map();
  const [source] = args.at(-1) instanceof KeywordArgumentsValue ? args.slice(0, -1) : args;
  const entries = source === undefined ? []
    : source instanceof ObjectValue ? source.value
    : iterate(source).map((pair) => {
        const items = iterate(pair);
        return items.length === 2 ? [stringArgument(items[0], "a key"), items[1]] : fail("a dictionary is made of pairs");
      });
  return new Map([...entries, ...keywords]);
}

function rangeOf(args) {
  const numbers = args.map((value) => integerArgument(defined(value)));
  if (numbers.length < 1 || numbers.length > 3) fail("range() needs one to three numbers");
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0], 1] : [...numbers, 1];
  if (step === 0) fail("range() arg 3 must not be zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > MAX_RANGE) fail(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`);
  return new SequenceValue(Array.from({ length }, (_, i) => new IntegerValue(start + i * step)), "range",
    `range(${start}, ${stop}${step === 1 ? "" : `, ${step}`})`);
}

let lastTemplate = null;
let lastProgram = null;

/** The syntax tree of a template; that of the last one is kept. */
function parseTemplate(template) {
  if (template !== lastTemplate) {
    const tokens = pythonTokens(template);
    try {
      lastProgram = parse(tokens);
      lastTemplate = template;
    } catch (error) {
      throw Object.assign(syntaxFailure(tokens, error), { unexpected: error?.name === "InternalError" });
    }
  }
  return lastProgram;
}

/** The parser says not where it stopped: it runs again over tokens that note which one it asked for last. */
function syntaxFailure(tokens, error) {
  let last = 0;
  const watched = new Proxy(tokens, {
    get(target, key) {
      if (Number(key) > last) last = Number(key);
      return target[key];
    },
  });
  try {
    parse(watched);
  } catch {
    // The same error again.
  }
  const line = tokens.slice(0, last + 1).reduce((latest, token) => token.line ?? latest, 1);
  return new TemplateFailure(
    last >= tokens.length ? "it ends inside a block that is not closed" : `its syntax is wrong or not supported (${plainMessage(error)})`,
    line,
  );
}

/** Renders {template, now, variables} as transformers' render_jinja_template() does. */
function renderTemplate({ template, now, variables }) {
  const refused = (name) => new FunctionValue(() => fail(`${name}() is not supported`));
  const globals = new Scope(undefined, [
    ["range", new FunctionValue(rangeOf)],
    ["dict", new FunctionValue((args) => new ObjectValue(dictOf(args)))],
    ["namespace", new FunctionValue((args) => {
      const entries = dictOf(args);
      for (const name of entries.keys()) namespaceName(name);
      return new NamespaceValue(entries);
    })],
    ["raise_exception", new FunctionValue((args) => {
      throw new TemplateFailure(str(bind("raise_exception()", "message!", args)[0]), undefined, true);
    })],
    ["strftime_now", new FunctionValue((args) => text(strftime(stringArgument(bind("strftime_now()", "format!", args)[0], "strftime_now()"), now)))],
    [GENERATION, new FunctionValue((args) => args.at(-1).value.get("caller").value([]))],
    ["lipsum", refused("lipsum")], ["cycler", refused("cycler")], ["joiner", refused("joiner")],
  ]);
  const scope = new Scope(globals);
  for (const [name, value] of Object.entries(variables)) scope.setVariable(name, convertToRuntimeValues(value));
  const constants = { true: bool(true), True: bool(true), false: bool(false), False: bool(false), none: new NullValue(), None: new NullValue() };
  for (const [name, value] of Object.entries(constants)) globals.setVariable(name, value);

  const program = parseTemplate(template);
  const interpreter = new PythonInterpreter(scope);
  try {
    return interpreter.run(program).value;
  } catch (error) {
    if (error instanceof BreakControl || error instanceof ContinueControl) throw new TemplateFailure("'break' or 'continue' outside a loop", interpreter.line);
    if (error instanceof TemplateFailure) throw new TemplateFailure(error.message, error.line ?? interpreter.line, error.raised);
    // An error of the package, or QuickJS is out of memory.
    throw Object.assign(new TemplateFailure(plainMessage(error), interpreter.line), { unexpected: true });
  }
}

function plainMessage(error) {
  return String(error?.message ?? error).replace(/^Parser Error: /, "").replace(/[.\s]+$/, "");
}

/** Answers one request of the host. */
function answer(host) {
  try {
    host.rendered(renderTemplate(JSON.parse(host.request())));
  } catch (error) {
    const known = error instanceof TemplateFailure;
    const message = known && error.raised ? error.message : plainMessage(error);
    host.failed(JSON.stringify({ message, line: error?.line ?? 0, raised: known && error.raised, sound: known && !error.unexpected }));
  }
}
