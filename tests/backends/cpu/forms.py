"""Texts of kernels with their extents left open, for `str.format`."""

MATMUL = """kernel "matmul" {{
  input a: f32[{m}, {k}]  constant b: f32[{k}, {n}]  constant c: f32[{n}]  local t: f32[{m}, {n}]
  output y: f32[{m}, {n}]
  stage mm (m: {m}, n: {n}, reduce k: {k}): t[m, n] = sum mul(a[m, k], b[k, n])
  stage epilogue (m: {m}, n: {n}): y[m, n] = max(add(t[m, n], c[n]), 0.0:f32)
}}"""
CONV = """kernel "conv" {{
  input x: f32[1, {h}, {w}, {c}]  constant k: f32[3, 3, {c}, {f}]  output y: f32[1, {h}, {w}, {f}]
  stage conv (b: 1, i: {h}, j: {w}, f: {f}, reduce p: 3, reduce q: 3, reduce c: {c}):
    y[b, i, j, f] = sum mul(x[b, i + p - 1, j + q - 1, c] else 0.0, k[p, q, c, f])
}}"""
SOFTMAX = """kernel "softmax" {{
  input x: f32[{m}, {n}]  local m: f32[{m}]  local e: f32[{m}, {n}]  local l: f32[{m}]  output y: f32[{m}, {n}]
  stage mx (i: {m}, reduce j: {n}): m[i] = max x[i, j]
  stage ex (i: {m}, j: {n}): e[i, j] = exp(sub(x[i, j], m[i]))
  stage sm (i: {m}, reduce j: {n}): l[i] = sum e[i, j]
  stage dv (i: {m}, j: {n}): y[i, j] = div(e[i, j], l[i])
}}"""
LAYER_NORM = """kernel "layer_norm" {{
  input x: f32[{m}, {n}]  constant g: f32[{n}]  local s: f32[{m}]  local mean: f32[{m}]  local v: f32[{m}]
  output y: f32[{m}, {n}]
  stage total (i: {m}, reduce j: {n}): s[i] = sum x[i, j]
  stage me (i: {m}): mean[i] = mul(s[i], {inverse}:f32)
  stage va (i: {m}, reduce j: {n}): %0 = sub(x[i, j], mean[i]); v[i] = sum mul(%0, %0)
  stage no (i: {m}, j: {n}):
    y[i, j] = mul(div(sub(x[i, j], mean[i]), sqrt(add(mul(v[i], {inverse}:f32), 0.001:f32))), g[j])
}}"""
ATTENTION = """kernel "attention" {{
  input q: f32[2, {m}, {d}]  input k: f32[2, {n}, {d}]  input v: f32[2, {n}, {d}]
  local s: f32[2, {m}, {n}]  local m: f32[2, {m}]  local e: f32[2, {m}, {n}]  local l: f32[2, {m}]
  local o: f32[2, {m}, {d}]  output y: f32[2, {m}, {d}]
  stage qk (b: 2, i: {m}, j: {n}, reduce d: {d}): s[b, i, j] = sum mul(q[b, i, d], k[b, j, d])
  stage mx (b: 2, i: {m}, reduce j: {n}): m[b, i] = max s[b, i, j]
  stage ex (b: 2, i: {m}, j: {n}): e[b, i, j] = exp(sub(s[b, i, j], m[b, i]))
  stage sm (b: 2, i: {m}, reduce j: {n}): l[b, i] = sum e[b, i, j]
  stage pv (b: 2, i: {m}, f: {d}, reduce j: {n}): o[b, i, f] = sum mul(e[b, i, j], v[b, j, f])
  stage dv (b: 2, i: {m}, f: {d}): y[b, i, f] = div(o[b, i, f], l[b, i])
}}"""
ELEMENTWISE = """kernel "elementwise" {{
  input a: f32[{m}, {n}]  input b: f32[{n}]  input t: f32[{n}, {m}]  output y: f32[{m}, {n}]
  stage s (i: {m}, j: {n}): y[i, j] = add(mul(a[i, j], b[j]), t[j, i])
}}"""
NARROW = """kernel "narrow" {{
  input a: {source}[{m}, {n}]  input b: {source}[{m}, {n}]  output y: {target}[{m}, {n}]
  stage s (i: {m}, j: {n}): y[i, j] = cast(max(a[i, j], b[i, j])):{target}
}}"""
CHANNEL_NORM = """kernel "channel_norm" {{
  input x: f32[{n}, {c}]  constant scale: f32[{c}]  output y: f32[{n}, {c}]
  local mean: f32[{c}]  local power: f32[{c}]
  stage s0 (c: {c}, reduce n: {n}): mean[c] = sum mul(x[n, c], {inverse}:f32)
  stage s1 (c: {c}, reduce n: {n}): power[c] = sum mul(x[n, c], mul(x[n, c], {inverse}:f32))
  stage s2 (c: {c}, n: {n}): y[n, c] = mul(scale[c], div(sub(x[n, c], mean[c]), sqrt(add(power[c], 1e-05:f32))))
}}"""
FEW = """kernel "few" {{
  input x: f32[{m}, {k}]  constant w: f32[2, {k}, {n}]  output y: f32[{m}, 2, {n}]
  stage s (i: {m}, p: 2, j: {n}, reduce k: {k}): y[i, p, j] = sum mul(x[i, k], w[p, k, j])
}}"""
WEAVE = """kernel "weave" {{
  input x: {type}[3, {s}, {n}]  output y: {type}[3, {n}, {s}]
  stage s (i: 3, j: {n}, k: {s}): y[i, j, k] = neg(x[i, k, j])
}}"""
UNWEAVE = """kernel "unweave" {{
  input x: {type}[3, {n}, {s}]  output y: {type}[3, {s}, {n}]
  stage s (i: 3, k: {s}, j: {n}): y[i, k, j] = neg(x[i, j, k])
}}"""
POOL = """kernel "pool" {{
  input x: f32[{h}, {w}, {c}]  output y: f32[{h}, {w}, {c}]
  stage s (i: {h}, j: {w}, c: {c}, reduce p: 3, reduce q: 3): y[i, j, c] = max x[i + p - 1, j + q - 1, c] else -inf
}}"""

RECURRENCE = """kernel "recurrence" {{
  input x: f32[3, 4]  constant w: f32[4, {n}]  constant r: f32[{n}, {n}]
  local fed: f32[3, {n}]  local back: f32[3, {n}]  output h: f32[3, {n}]  local state: f32[3, {n}]
  stage feed (t: 3, k: {n}, reduce c: 4): fed[t, k] = sum mul(x[t, c], w[c, k])
  stage again (scan t: 3, k: {n}, reduce j: {n}): back[t, k] = sum mul(state[t - 1, j] else 0.0, r[j, k])
  stage next (scan t: 3, k: {n}): state[t, k] = tanh(mul(add(fed[t, k], back[t, k]), 0.05:f32))
  stage out (scan t: 3, k: {n}): h[t, k] = state[t, k]
}}"""
BYTES = """kernel "bytes" {{
  input a: {a}[{m}, {k}]  constant b: {b}[{k}, {n}]  constant c: {t}[{n}]  local s: {t}[{m}, {n}]
  output y: {t}[{m}, {n}]
  stage mm (m: {m}, n: {n}, reduce k: {k}): s[m, n] = sum mul(cast(a[m, k]):{t}, cast(b[k, n]):{t})
  stage epilogue (m: {m}, n: {n}): y[m, n] = add(s[m, n], c[n])
}}"""
BYTES_CONV = """kernel "bytes_conv" {{
  input x: {a}[{h}, {w}, {c}]  constant k: {b}[3, 3, {c}, {f}]  output y: i32[{h}, {w}, {f}]
  stage mm (i: {h}, j: {w}, f: {f}, reduce p: 3, reduce q: 3, reduce c: {c}):
    y[i, j, f] = sum mul(cast(x[{s}*i + p - 1, {s}*j + q - 1, c] else 7):i32, cast(k[p, q, c, f]):i32)
}}"""
