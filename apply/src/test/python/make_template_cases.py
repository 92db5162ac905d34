"""Renders snippets of Jinja, one point of the language each, as transformers does.

Recorded with transformers 5.24.0 and jinja2 3.1.6. Run in this folder:

    python make_template_cases.py                     writes ../resources/chat/snippets.json
    python make_template_cases.py FOLDER CASES.json   renders every *.jinja of a folder, with several conversations,
                                                      for mvn test -Dgroups=real-model -Dkvshare.templates=CASES.json

The figures in docs/models.md come from the *.jinja files, all versions of them, of llama.cpp and ik_llama.cpp (models/templates),
vLLM (examples), axolotl, TRL (trl/chat_templates) and chujiezheng/chat_templates, and from the templates in the tests of
@huggingface/jinja: 270 different texts. They are not kept here, for their licences differ.
"""

import json
import pathlib
import sys

import fixed_clock
import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

OUT = pathlib.Path(__file__).parent.parent / "resources" / "chat" / "snippets.json"

fixed_clock.set_to(2026, 11, 3, 15, 4, 5, 678)

# Every {{ }} is a snippet of its own, a line with statements is one; rendered with MESSAGES and TOKENS.
EXPRESSIONS = r"""
{{ 'a' and 'b' }} {{ '' and 'b' }} {{ 'a' or 'b' }} {{ 0 or '' or none or 'z' }} {{ [] or {} }} {{ not [] }}
{{ true }} {{ false }} {{ none }} {{ True }} {{ None }} {{ [true, none, 1.0, 'x'] }}
{{ [1, 'a', "it's", 'q"q', 'both\'"', 'n\nt\t\\'] }} {{ {'a': [1, {'b': none}]} }} {{ (1,) }} {{ (1, 'a') }} {{ () }}
{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1 == 1 }} {{ (1 == 1) == 1 }} {{ 1 < 3 > 2 }} {{ (1 == 2) != (3 == 4) }}
{{ 'x' ~ 1 + 2 }}
{{ 1 + 2 ~ 'a' }}
{{ 'a' + 1 ~ 'b' }} {{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }} {{ 1 ~ 2 * 3 }} {{ 'a' + 'b' ~ 'c' + 'd' }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 3 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e3 }} {{ 1.5e-3 }} {{ 100000000000000000.0 }} {{ 0.00001 }} {{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }} {{ 1.0 == 1 }} {{ true == 1 }} {{ true + true }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1, 2] * 2 }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ 'ab' * -1 }}|
{{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1} }} {{ [1] == (1,) }} {{ none == false }} {{ nope == none }} {{ nope == nada }} {{ '' == none }}
{{ 'a' in 'cab' }} {{ 'z' not in 'cab' }} {{ 1 in [1, 2] }} {{ 'k' in {'k': 1} }} {{ 'v' in {'k': 'v'} }} {{ [1] in [[1]] }} {{ 1 in {'k': 1} }} {{ 'a' in nope }} {{ 'a' not in nope }}
{{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ [1, 2] < [1, 3] }} {{ 1 <= 1.0 }} {{ 'Z' >= 'A' }}
{{ 'a' 'b' "c" }} {{ 'tab\there' }} {{ '\u00e9\x41\101' }} {{ '\d\q' }} {{ 'line\
joined' }}
{{ nope }}|{{ nope is defined }}|{{ nope | default('d') }}|{{ nope | length }}|{{ nope | upper }}|{{ nope ~ 'x' }}|{% for i in nope %}x{% else %}none{% endfor %}
{{ none | default('d') }} {{ none | default('d', true) }} {{ '' | default('d', boolean=true) }} {{ 0 | d(5) }} {{ nope.x is defined if false else 'short' }}
{{ messages[0].missing is defined }} {{ messages[0]['role'] }} {{ messages[-1].content[:2] }} {{ messages[9] is defined }} {{ messages.x is defined }} {{ none.x is defined }}
{{ {'items': 5}['items'] }} {{ {'a': 1}.items() | list }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1}.get('a') }}
{{ 'abc'[0] }} {{ 'abc'[-1] }} {{ 'abc'[1:] }} {{ 'abc'[::-1] }} {{ [1, 2, 3, 4][::2] }} {{ [1, 2, 3][1:][0] }} {{ 'abcdef'[1:-1:2] }} {{ 'abc'[5:] }}| {{ [1, 2, 3][:-1] }} {{ (1, 2, 3)[1:] }} {{ 'abc'[none:2] }} {{ 'é😀x'[1] }} {{ '😀a'[1:] }}
{{ 'abc'[9] is defined }} {{ [1, 2, 3].0 }} {{ 'abc'['x'] is defined }} {{ [1][true] is defined }}
{{ 1 if true }}|{{ 1 if false }}|{{ 1 if false else 2 if false else 3 }}|{{ (1 if false) is defined }}|{{ 'a' if nope else 'b' }}
{{ 3 is odd }} {{ 4 is even }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }} {{ 'a' is string }} {{ 1 is number }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is integer }} {{ true is number }} {{ true is boolean }} {{ none is none }} {{ [] is sequence }} {{ {} is sequence }} {{ {} is mapping }} {{ 'x' is iterable }} {{ 1 is iterable }} {{ [] is iterable }} {{ range is callable }} {{ nope is undefined }} {{ nope is callable }} {{ 'a' is callable }}
{{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 1 is lt 2 }} {{ 1 is le 0 }} {{ 'a' is in ['a'] }} {{ 'a' is not in ['a'] }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'aB' is lower }} {{ none is sameas none }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ x is not defined and 1 is not none }}
{{ 'a' is string and 'b' is not number or false }} {{ not 'a' is string }} {{ 1 if 'a' is string else 2 }} {{ 'role' in messages[0] and messages[0].role is string }} {{ messages | length is gt 1 }}
{{ 'hello world' | title }} {{ "it's a-b (c)" | title }} {{ "it's".title() }} {{ 'hELLO' | capitalize }} {{ 'aBc'.swapcase() }} {{ 'a b'.capitalize() }}
{{ '  x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xya'.lstrip('yx') }}|{{ 'axy'.rstrip('yx') }}|{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ '﻿a '.strip() | length }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a  b  c '.split(maxsplit=1) }} {{ 'a.b.c'.rsplit('.', 1) }} {{ 'abc'.split('x') }} {{ ''.split(',') }} {{ ''.split() }} {{ 'a b c'.rsplit(None, 1) }}
{{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('x') }}
{{ 'aXbX'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'aaa' | replace('a', 'b', 1) }} {{ 'ab'.replace('', '.') }} {{ 121 | replace(1, 'x') }} {{ 'a.b' | replace('.', '$&') }}
{{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abcabc'.rfind('b') }} {{ 'abc'.index('b') }} {{ 'aXbX'.count('X') }} {{ 'abcabc'.find('b', 2) }} {{ '😀b'.find('b') }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith(('x', 'y')) }} {{ 'prefix'.removeprefix('pre') }} {{ 'a.txt'.removesuffix('.txt') }}
{{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }} {{ '½'.isnumeric() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '12'.isupper() }}
{{ 'ab'.center(7, '*') }} {{ 'abc'.center(6) }}| {{ 'ab' | center(7) }}| {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ '-5'.zfill(4) }} {{ 'ab'.center(1) }}
{{ ','.join(['a', 'b']) }} {{ [1, none, true] | join('-') }} {{ 'abc' | join('.') }} {{ messages | join(', ', attribute='role') }} {{ [] | join }}|{{ ['a', 'b'] | join }}
{{ '{} and {}'.format(1, 'b') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=3) }} {{ '{{}}'.format() }} {{ '%s is %d' | format('a', 3) }} {{ '%s-%s' % ('a', [1]) }} {{ '%5.2f|%-4s|%03d|%%' % (1.234, 'x', 7) }} {{ '%(a)s' | format(a=1) }} {{ '%r' % 'q' }} {{ '%s' % 'one' }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2, 3] | sort(reverse=true) }} {{ messages | sort(attribute='content') | map(attribute='role') | list }} {{ [2, 1] | sort | first }}
{{ [1, 1, 2, '1', true] | unique | list }} {{ ['a', 'A'] | unique | list }} {{ ['a', 'A'] | unique(true) | list }} {{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ [1, 2, 3] | sum }} {{ [{'n': 2}, {'n': 3}] | sum(attribute='n') }} {{ [1.5, 2] | sum(start=1) }}
{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ 'abc' | first }} {{ [] | first }}|{{ [] | last is defined }} {{ {'a': 1, 'b': 2} | first }} {{ {'a': 1, 'b': 2} | last }} {{ [3, 1] | min }} {{ [3, 1] | max }} {{ ['b', 'A'] | min }} {{ [] | max }}| {{ messages | max(attribute='content') | length }}
{{ messages | map(attribute='role') | join(' ') }} {{ messages | map(attribute='nope', default='d') | list }} {{ ['a', 'b'] | map('upper') | list }} {{ ['1', '2'] | map('int') | sum }} {{ [[1, 2], [3]] | map('first') | list }} {{ ['ax', 'bx'] | map('replace', 'x', 'y') | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ [[5, 6]] | map(attribute=1) | list }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | selectattr('content') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | list }} {{ messages | selectattr('role', 'in', ['user', 'tool']) | list | length }} {{ messages | selectattr('nope', 'defined') | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 0, none] | select | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ [1, 2, 'a'] | select('string') | list }}
{{ '5' | int }} {{ '5.7' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 5.9 | int }} {{ -5.9 | int }} {{ none | int(default=3) }} {{ true | int }} {{ '1.5' | float }} {{ 'x' | float }} {{ 2 | float }} {{ ' 12 ' | int }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 5 | round }} {{ 1.21 | round(1, 'ceil') }} {{ 1.29 | round(1, 'floor') }} {{ -3 | abs }} {{ -3.5 | abs }} {{ 0.125 | round(2) }} {{ 42.55 | round(1) }} {{ 1234 | round(-2) }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(1, blank=true) }}|{{ 'a\nb' | indent('> ') }}|{{ 'a\nb\n' | indent(2) }}|
{{ 'one two three' | wordcount }} {{ 'a long text with words' | truncate(10) }} {{ 'a long text with words' | truncate(10, true) }} {{ 'abcdefghij' | truncate(5, true, '', 0) }} {{ 'short' | truncate(10) }}
{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }} {{ {'a': 1} | items | list }} {{ nope | items | list }}
{% for g in messages | groupby('role') %}{{ g.grouper is defined }} {{ g[0] }} {{ g[1] | length }};{% endfor %}{% for k, v in messages | groupby('role') %}{{ k }}={{ v | length }} {% endfor %}
{% for row in [1, 2, 3, 4, 5] | batch(2, 'x') %}{{ row }}{% endfor %} {{ [1, 2, 3] | batch(2) | list }}
{{ {'a': 'é<>&\'"', 'b': [1, 2.0, true, none], 'c': {}} | tojson }} {{ [] | tojson }} {{ [1, [2]] | tojson(indent=2) }} {{ {'b': 1, 'a': [1, {}]} | tojson(indent=4, sort_keys=true) }} {{ 'é😀\x7f' | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {'a': 1} | tojson(separators=[', ', '=']) }} {{ 'a\u2028\x01\n' | tojson }} {{ [1] | tojson(indent=0) }} {{ (1, 2) | tojson }} {{ 1.5 | tojson }} {{ none | tojson }} {{ messages[0] | tojson }}
{{ {1: 'a', 'b': none, none: 2} }} {{ {1: 'a'}[1] }} {{ {1: 'a'}[1.0] }} {{ 1 in {1: 2} }} {{ {2: 1, 10: 3} | tojson }} {{ {1: 2}.items() | list }} {{ {1: 2}.get(1) }} {{ {2: 'b', 1: 'a'} | dictsort }}
{{ ('<b>' | safe) + '<i>' }} {{ '<i>' + ('<b>' | safe) }} {{ ['<b>' | safe] }} {{ [1, '<'] | join('<' | e) }} {{ ('<b>' | safe) | replace('b', 'i') }} {{ ('<b>' | safe) == '<b>' }} {{ ('&' | e) | e }}
{{ range(3) }} {{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ range(3, 0, -1) | list }} {{ range(0) | list }} {{ range(5) | length }} {{ range(5)[2] }} {{ 2 in range(3) }}
{{ dict(a=1, b=2) }} {{ dict([('a', 1)], b=2) }} {{ dict({'a': 1}) }} {{ {'a': 1, **{}} if false else 'x' }}
{{ dict(a=1).a }} {{ namespace(a=1).a }} {{ namespace({'a': 2}).a }} {{ namespace(a=1).b is defined }}
{{ '<b>' | e }} {{ '<b>' | escape }} {{ '<b>' | safe }} {{ '<' }} {{ '<b>' | safe ~ '<i>' }} {{ '<' | string }} {{ 5 | string + 'x' }}
{{ [1, 2, 3] | list is sequence }} {{ ([1, 2] | map('string')) is iterable }} {{ [1, 2] | map('string') | length if false else 'ok' }} {{ {'a': 1} | list }} {{ 'ab' | list }} {{ {'a': 1} | length }} {{ 'é😀' | length }} {{ [1] | count }}
{{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%a %A %b %B %d %e %j %y %p %I %f') }} {{ strftime_now('%-d %-m %-H %-I %-M %-j %_d %^a %#p') }} {{ strftime_now('%U %W %V %u %w %G %g %C') }} {{ strftime_now('%D %T %F %R %r %c %x %X %h %k %l %P %n%t%%|%z|%Z|') }} {{ strftime_now('') }}|{{ strftime_now('plain é') }}
{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}
{{ [messages[0].role, messages[0].content] }} {{ messages[0] }}
{{ -1 | abs }} {{ - 1 }} {{ +1 }} {{ -(1 + 2) }} {{ 1 - -1 }} {{ 1 -1 }} {{ [1,2][-1] }} {{ messages|length-1 }} {{ not true }} {{ not not true }}
{{ (1, 2)[0] }} {{ (((1))) }} {{ ('a' ~ 'b').upper() }} {{ ([1, 2] | first) + 1 }} {{ (1, 2) | length }} {{ ('a',) | join }} {{ ('x') | upper }}
{{ 'abc' | upper | lower | title }} {{ ['a'] | first | upper ~ 'b' }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }}
{{ {'a': 1}['a'] }} {{ {'a': {'b': 2}}.a.b }} {{ {'a': [1, 2]}.a[1] }} {{ {'get': 1}['get'] }} {{ {'x y': 1}['x y'] }} {{ {'a': 1,} }} {{ [1, 2,] }}
{{ 'i' * 3 ~ 'j' }} {{ '-' * (3 + 2) }} {{ 2 * 3 + 4 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ 10 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ 100 // 7 // 2 }}
{{ 'straße'.upper() }} {{ 'ÀÉ'.lower() }} {{ 'ß'.casefold() }} {{ 'İ'.lower() | length }} {{ 'Σας'.upper() }}
{{ "}}" }} {{ '%}' }} {{ "{{ x }}" }} {{ '{% raw %}' }} {{ {'a': {'b': {'c': 1}}} }} {{ {'a': {}}}}
{{ 'abc'|length }}{{'x'~'y'}}{{-5}}{{ 1if true else 2 }}
{{ [1, 2, 3].index(2) }} {{ [1, 1].count(1) }} {{ (1, 2).index(2) }} {{ {'a': 1}.copy() }} {{ [1].copy() }}
{{ 5.0 | int }} {{ 10 / 5 }} {{ 3 * 1.0 }} {{ 1e16 }} {{ 123456789.123 }} {{ 1.0e-4 }} {{ -0.0 }}
{{ loop is defined }} {{ caller is defined }} {{ self is defined if false else 1 }} {{ joiner is defined }} {{ raise_exception is defined }} {{ strftime_now is defined }} {{ range is defined }} {{ namespace is defined }}
{{ 'a' if messages[0].role == 'user' and not messages[0].tool_calls else 'b' }} {{ messages[0].tool_calls is defined and messages[0].tool_calls }} {{ messages[0].content is string }} {{ messages[0].get('name', 'nobody') }} {{ messages[0].get('name') is none }}
""".strip()

STATEMENTS = {
    "for else": "{% for i in [] %}x{% else %}empty{% endfor %} {% for i in [1] %}x{% else %}empty{% endfor %}",
    "for else after continue": "{% for i in [1] %}{% continue %}{% else %}E{% endfor %}{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}E{% endfor %}",
    "loop variables": "{% for c in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem is defined }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop['index'] }};{% endfor %}",
    "loop cycle and changed": "{% for i in [1, 1, 2] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i) }} {% endfor %}",
    "loop with a condition": "{% for i in [1, 2, 3, 4] if i % 2 == 0 %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ loop.previtem }} {% endfor %}",
    "condition seen lazily": "{% set ns = namespace(stop=false) %}{% for i in [1, 2, 3] if not ns.stop %}{{ i }}{% set ns.stop = true %}{% endfor %}",
    "set in a loop stays inside": "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }};{% endfor %}{{ x }}",
    "set in a loop is gone in the next turn": "{% for i in [1, 2] %}{{ y is defined }}{% set y = i %}{{ y }}{% endfor %}{{ y is defined }}",
    "set in if": "{% if true %}{% set z = 5 %}{% endif %}{{ z }}{% if false %}{% set w = 5 %}{% endif %}{{ w is defined }}",
    "set of several": "{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% set a, b = [b, a] %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set (c, d) = (3, 4) %}{{ c }}{{ d }}",
    "set block": "{% set x %}a {{ 1 + 1 }}{% set inner = 3 %}{% endset %}[{{ x }}]{{ inner is defined }}{{ x | upper }}{% set y | upper %}abc{% endset %}{{ y }}",
    "loop variable ends with the loop": "{% set i = 'o' %}{% for i in [1, 2] %}{{ i }}{% endfor %}{{ i }}{{ loop is defined }}",
    "nested loops": "{% for a in [1, 2] %}{% set o = loop %}{% for b in 'xy' %}{{ o.index }}{{ loop.index }}{{ b }}{% endfor %}{{ loop.index }};{% endfor %}",
    "break and continue": "{% for i in range(6) %}{% if i == 1 %}a{% continue %}{% endif %}{% if i == 4 %}b{% break %}{% endif %}{{ i }}{% endfor %}",
    "break in a nested loop": "{% for i in [1, 2] %}{% for j in [1, 2, 3] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "unpacking": "{% for k, v in {'a': 1, 'b': [2]}.items() %}{{ k }}={{ v }};{% endfor %}{% for (a, b) in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}",
    "loop over a mapping": "{% for k in {'b': 1, 'a': 2} %}{{ k }}{% endfor %}{% for k in {'b': 1} | dictsort %}{{ k }}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0, t='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.t = ns.t ~ m.role[0] %}{% endfor %}{{ ns.n }}{{ ns.t }}{{ ns.nope is defined }}{{ ns['n'] }}",
    "macro": "{% macro f(a, b='d', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(c=3, a=4) }}{{ f() }}",
    "macro sees where it is written": "{% set x = 'top' %}{% macro f() %}{{ x }}{{ y is defined }}{% endmacro %}{% for y in [1] %}{% set x = 'loop' %}{{ f() }}{% endfor %}{% set x = 'later' %}{{ f() }}",
    "macro calls itself": "{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}",
    "macro with varargs": "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k='v') }}",
    "macro sets nothing outside": "{% macro f() %}{% set x = 2 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}{{ x }}",
    "macro result is text": "{% macro f() %} a {% endmacro %}{{ f() | trim ~ '!' }}{{ f() is string }}{{ (f() + 'b').strip() }}",
    "defaults of macros": "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}",
    "call": "{% macro box(t) %}<{{ t }}:{{ caller() }}>{% endmacro %}{% call box('x') %}in{{ 1 }}{% endcall %}",
    "call with arguments": "{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, n) each(['a', 'b']) %}{{ n }}{{ x }};{% endcall %}",
    "macro without caller": "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}",
    "macro inside a macro": "{% macro g(x) %}({{ x }}){% endmacro %}{% macro f(x) %}{{ g(x) }}{{ g('i') }}{% endmacro %}{{ f(1) }}",
    "filter block": "{% filter upper %}abc {{ 'd' }}{% endfilter %}{% filter replace('a', 'b') %}aa{% endfilter %}",
    "generation": "a{% generation %}b{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}\n{%- generation -%}\n c {% endgeneration -%}\n d",
    "generation in a loop": "{% for m in messages %}{% generation %}{{ loop.index }}{{ m.role }}{% endgeneration %}\n{% endfor %}",
    "elif": "{% for i in [1, 2, 3] %}{% if i == 1 %}a{% elif i == 2 %}b{% else %}c{% endif %}{% endfor %}",
    "raw": "{% raw %}{{ x }}{% if %}{% endraw %}|{%- raw -%}  {# c #}  {%- endraw -%} |",
    "comments": "a{# c {{ x }} #}b\n{# line #}\nc {#- d -#} e\n  {# indented #}\nf",
    "trim_blocks": "a\n{% if true %}\nb\n{% endif %}\nc\n{{ 'd' }}\ne\n",
    "lstrip_blocks": "a\n  {% if true %}\n    b\n  {% endif %}\n\t{# c #}\n  {{ 'd' }}\nx {% if true %} y {% endif %}",
    "lstrip at the start": "  {% if true %}a{% endif %}\n  b",
    "lstrip after a tag that took the newline": "{% if true %}\n  {% if true %}x{% endif %}\n{% endif %}|",
    "signs": "a  {%- if true -%}  b  {%- endif -%}  c\n{{- 'd' -}}\n e  {{ 'f' }}  g",
    "plus signs": "a\n  {%+ if true +%}\n  b\n{% endif +%}\nc",
    "only the last newline goes": "a\n\n\n",
    "spaces at the end": "a  \n{% if true %}b{% endif %}  ",
    "strip takes other spaces": "a\u00a0\u2003{%- if true -%}\u00a0\nb{% endif %}",
    "carriage returns": "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\rd{{ 'x\r\ny' | length }}\r\n",
    "carriage returns of a message": "{{ messages[2].content }}",
    "signs in a string": "{{ '-%}' }}\n{{ '%}\n' }}x{{ ' {% if %}' }}\n{{ '  {#' }}",
    "percent signs": "100% {{ 5 }}% %} }} { { {a} #}",
    "a tag over lines": "{% if\n  true\n  and\n  1\n%}yes{% endif %}{{\n'x'\n}}",
    "no text": "",
    "only text": "just text\n",
    "tools": "{% if tools %}t{% endif %}{% if not tools is defined %}u{% endif %}{% if tools is not none %}n{% endif %}{% if documents %}d{% endif %}",
    "shadowed name": "{% set messages = messages[1:] %}{{ messages | length }}{% for messages in [1] %}{{ messages }}{% endfor %}{{ messages | length }}",
    "iterators are used up": "{% set g = [1, 2] | select %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% endfor %}{{ g | list }}",
    "long chain of elif": "{% set x = 3 %}{% if x == 1 %}1{% elif x == 2 %}2{% elif x == 3 %}3{% elif x == 4 %}4{% endif %}",
    "value of a namespace in a condition": "{% set ns = namespace(found=false) %}{% for m in messages if m.role == 'user' and not ns.found %}{% set ns.found = true %}{{ m.content }}{% endfor %}{{ ns.found }}",
    "raise_exception": "a{{ raise_exception('Only ' ~ 1 ~ ' role') }}",
    "raise_exception in a macro": "{% macro f() %}{{ raise_exception('no') }}{% endmacro %}{{ f() }}",
    # What Python refuses; kvshare must too.
    "attribute of undefined": "{{ nope.x }}",
    "item of undefined": "{{ nope['x'] }}",
    "undefined called": "{{ nope() }}",
    "undefined added": "{{ 'a' + nope }}",
    "undefined compared": "{{ nope < 1 }}",
    "undefined as number": "{{ nope | int }}",
    "undefined as json": "{{ nope | tojson }}",
    "text plus number": "{{ 'a' + 1 }}",
    "text plus none": "{{ 'a' + none }}",
    "list plus tuple": "{{ [1] + (2,) }}",
    "number in text": "{{ 1 in 'a1' }}",
    "membership in none": "{{ 'a' in none }}",
    "loop over none": "{% for x in none %}{% endfor %}",
    "loop over a number": "{% for x in 5 %}{% endfor %}",
    "length of a number": "{{ 5 | length }}",
    "length of an iterator": "{{ [1] | map('string') | length }}",
    "order of text and number": "{{ 'a' < 1 }}",
    "sorting mixed values": "{{ [1, 'a'] | sort }}",
    "division by zero": "{{ 1 / 0 }}",
    "too many values": "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "no such method": "{{ 'a'.nope() }}",
    "append": "{% set x = [] %}{{ x.append(1) }}",
    "update": "{% set x = {} %}{{ x.update({'a': 1}) }}",
    "dunder": "{{ ''.__class__ }}",
    "unknown filter": "{{ 'a' | nofilter }}",
    "unknown test": "{{ 'a' is notest }}",
    "unknown tag": "{% nope %}",
    "open tag": "{{ 'a' ",
    "open block": "{% if true %}a",
    "open loop": "a\n{% for x in [1] %}b",
    "open comment": "a {# b",
    "wrong end": "{% if true %}a{% endfor %}",
    "missing operand": "{{ 1 + }}",
    "stray bracket": "{{ (1 }}",
    "wrong brackets": "{{ (1] }}",
    "assignment outside a namespace": "{% set x = {} %}{% set x.a = 1 %}",
    "hidden name in a namespace": "{{ namespace(_a=1) }}",
    "range too large": "{{ range(100001) | length }}",
    "slice of a mapping": "{{ messages[0][0:1] }}",
    "call of text": "{{ 'a'() }}",
    "iterator as json": "{{ [1] | map('string') | tojson }}",
    "macro with too many arguments": "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}",
    "macro with an unknown argument": "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}",
    "replace without arguments": "{{ 'a'.replace('a') }}",
    "empty separator": "{{ 'a'.split('') }}",
    "format without values": "{{ '%s %s' % 'a' }}",
    "break outside a loop": "{% break %}",
}

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi é😀 <b>&"},
    {"role": "user", "content": "One\r\ntwo\rthree {{ x }}"},
    {"role": "assistant", "content": ""},
]

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

# For public templates: the conversations that a template may or may not accept.
CALL = {"type": "function", "id": "call00001", "function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 2, "é": [1.5, None, True]}}}
CONVERSATIONS = [
    [{"role": "user", "content": "  Why is the sky blue? \n"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Hi {{ name }} & <b>\"you\"</b> 'é' 😀 \\n"}],
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nTwo. "},
        {"role": "user", "content": "Three?\r\n{% if x %}"},
    ],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}],
    [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"t\": 3}"},
        {"role": "assistant", "content": "Cold."},
        {"role": "user", "content": "Thanks"},
    ],
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a \"city\".\nDaily.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name <é>", "enum": ["Paris", "Rome"]},
                    "days": {"type": ["integer", "null"], "default": 1},
                    "where": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
                },
                "required": ["city"],
            },
            "return": {"type": "string"},
        },
    }
]


def render(source, messages, **arguments):
    try:
        rendered, _ = render_jinja_template(conversations=[messages], chat_template=source, **(TOKENS | arguments))
        return {"expected": rendered[0]}
    except Exception as e:
        return {"error": str(e), "raised": type(e).__name__ == "TemplateError"}


def snippets():
    cases = []
    names = {source: source for source in expressions()}
    for name, source in (names | STATEMENTS).items():
        cases.append({"name": name, "template": source} | render(source, MESSAGES, add_generation_prompt=True))
    OUT.write_text(json.dumps({"messages": MESSAGES, "cases": cases}, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "snippets,", sum("error" in case for case in cases), "of them refused by Python")


def expressions():
    for line in EXPRESSIONS.replace("\\\njoined", "\0joined").split("\n"):
        line = line.replace("\0", "\\\n")
        if "{%" in line and "'{%" not in line:
            yield line
            continue
        expression = ""
        for _, token, text in jinja2.Environment().lex(line):
            if token == "variable_begin":
                expression = ""
            expression += text
            if token == "variable_end":
                yield expression


def folder(path, out):
    cases = []
    for file in sorted(pathlib.Path(path).glob("*.jinja")):
        source = file.read_bytes().decode()
        for i, messages in enumerate(CONVERSATIONS):
            for tools in [None, TOOLS]:
                prompt = len(messages) % 2 == 1 or tools is not None
                result = render(source, messages, tools=tools, add_generation_prompt=prompt)
                cases.append(
                    {"name": f"{file.name} {i}", "template": source, "messages": messages, "tools": tools, "add_generation_prompt": prompt} | result
                )
    pathlib.Path(out).write_text(json.dumps({"cases": cases}, ensure_ascii=False))
    print(len({case["template"] for case in cases}), "templates,", len(cases), "renderings")


if len(sys.argv) == 3:
    folder(sys.argv[1], sys.argv[2])
else:
    snippets()
