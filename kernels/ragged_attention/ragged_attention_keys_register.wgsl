// The gradients of keys and values of attention over ragged lists, streaming over the queries, with
// several keys per invocation in registers and no workgroup memory.
//
//   p_i = exp(scale q_i k - logSumExp_i)
//   dV = sum_i kept_i p_i dY_i
//   dK = scale sum_i p_i (kept_i (dY_i v) - dY_i y_i) q_i
//
// for each key and head, over the queries of the key's list. `kept`, tiles, PARTS and everything else as
// in ragged_attention_register.wgsl, with queries and keys exchanged.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; q, dY: vec4<f32>[*, heads, quads]; k, v:
//   vec4<f32>[rows, heads, quads], all padded with zeros along d; stats: vec2<f32>[*, heads], logSumExp
//   in units of log 2, and dY y; dK, dV: Elem[rows, heads, d / WIDTH]. Row-major.
// Dispatch: gridFor(items, 8), folded from x into y; the tiles are of keys.
// Numerics: f32, in the order of the queries.

const TM: u32 = 4u; // @spec keys of an invocation, a power of two
const QUADS: u32 = 4u; // @spec vec4 of a part
const PARTS: u32 = 1u; // @spec parts of a head
const GROUPS: u32 = 1u; // @spec groups of four keys of an invocation, TM / 4 rounded up
const DROP: u32 = 1u; // @spec
alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

const LOG2_E: f32 = 1.4426950408889634;

struct Params {
  lists: u32,
  rows: u32, // of k, padding included
  heads: u32,
  quads: u32, // vec4 of a head
  dimension: u32, // d
  items: u32,
  blocks: u32, // groups of four weights of a query and head
  seed_low: u32,
  seed_high: u32,
  stream: u32,
  rate: f32,
  keep_factor: f32, // 1 / (1 - rate)
  scale: f32,
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> key_offsets: array<i32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> dY: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> dK: array<Elem>;
@group(0) @binding(8) var<storage, read_write> dV: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

const MULTIPLIER_0: u32 = 0xd2511f53u;
const MULTIPLIER_1: u32 = 0xcd9e8d57u;
const WEYL_0: u32 = 0x9e3779b9u;
const WEYL_1: u32 = 0xbb67ae85u;
const ROUNDS: u32 = 10u;
const TWO_POW_MINUS_24: f32 = 5.9604645e-8;

// High 32 bits of the 64-bit product, by 16-bit halves: WGSL has no wide product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

// One of the ten rounds of Philox4x32-10.
fn philox_round(counter: vec4<u32>, round: u32) -> vec4<u32> {
  let high_0 = multiply_high(MULTIPLIER_0, counter.x);
  let high_1 = multiply_high(MULTIPLIER_1, counter.z);
  return vec4<u32>(
    high_1 ^ counter.y ^ (params.seed_low + round * WEYL_0),
    MULTIPLIER_1 * counter.z,
    high_0 ^ counter.w ^ (params.seed_high + round * WEYL_1),
    MULTIPLIER_0 * counter.x,
  );
}

// Which weights of a block of four stay, one bit each: those whose uniform number is at least the rate.
fn kept_bits(block: u32) -> u32 {
  var counter = vec4<u32>(block, 0u, params.stream, 0u);
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    counter = philox_round(counter, round);
  }
  let chance = vec4<f32>(counter >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
  let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), chance >= vec4<f32>(params.rate));
  return bits.x | bits.y | bits.z | bits.w;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 8u + lane;
  if (item >= params.items) {
    return;
  }
  let own = item % PARTS * QUADS;
  let head = item / PARTS % params.heads;
  let tile = item / PARTS / params.heads;
  var list = 0u;
  var above = params.lists + 1u;
  while (above - list > 1u) {
    let middle = (list + above) / 2u;
    if (u32(key_offsets[middle]) / TM + middle <= tile) {
      list = middle;
    } else {
      above = middle;
    }
  }
  let begin = u32(key_offsets[list]);
  let place = (tile - begin / TM - list) * TM;
  let row = begin + place;
  var end = params.rows;
  var first = 0u;
  var queries = 0u;
  if (list < params.lists) {
    end = u32(key_offsets[list + 1u]);
    first = u32(offsets[list]);
    queries = u32(offsets[list + 1u]) - first;
  }
  if (row >= end) {
    return;
  }
  let pitch = params.heads * params.quads;
  let column = head * params.quads;
  let scale = params.scale * LOG2_E;

  var held_k: array<vec4<f32>, TM * QUADS>;
  var held_v: array<vec4<f32>, TM * QUADS>;
  var sum_k: array<vec4<f32>, TM * QUADS>;
  var sum_v: array<vec4<f32>, TM * QUADS>;
  for (var i = 0u; i < TM; i++) { // @unroll
    // Rows beyond the list repeat its last one, and are not stored.
    let at = min(row + i, end - 1u);
    for (var c = 0u; c < QUADS; c++) { // @unroll
      if (PARTS == 1u) { // @static
        held_k[i * QUADS + c] = k[at * pitch + column + c] * scale;
        held_v[i * QUADS + c] = v[at * pitch + column + c];
      }
      sum_k[i * QUADS + c] = vec4<f32>(0.0);
      sum_v[i * QUADS + c] = vec4<f32>(0.0);
    }
  }
  var near_q: array<vec4<f32>, QUADS>;
  var near_g: array<vec4<f32>, QUADS>;
  var s: array<f32, TM>;
  var g: array<f32, TM>;
  for (var n = 0u; n < queries; n++) {
    let start = (first + n) * pitch + column;
    for (var i = 0u; i < TM; i++) { // @unroll
      s[i] = 0.0;
      g[i] = 0.0;
    }
    if (PARTS == 1u) { // @static
      for (var c = 0u; c < QUADS; c++) { // @unroll
        let b = q[start + c];
        let e = dY[start + c];
        near_q[c] = b;
        near_g[c] = e;
        for (var i = 0u; i < TM; i++) { // @unroll
          let a = held_k[i * QUADS + c];
          s[i] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i]))));
          let d = held_v[i * QUADS + c];
          g[i] = fma(d.w, e.w, fma(d.z, e.z, fma(d.y, e.y, fma(d.x, e.x, g[i]))));
        }
      }
    }
    if (PARTS > 1u) { // @static
      for (var part = 0u; part < params.quads; part += QUADS) {
        for (var i = 0u; i < TM; i++) { // @unroll
          let at = min(row + i, end - 1u) * pitch + column + part;
          for (var c = 0u; c < QUADS; c++) { // @unroll
            // Beyond the head lie other columns, which must not count.
            let inside = part + c < params.quads;
            held_k[i * QUADS + c] = select(vec4<f32>(0.0), k[at + c] * scale, inside);
            held_v[i * QUADS + c] = select(vec4<f32>(0.0), v[at + c], inside);
          }
        }
        for (var c = 0u; c < QUADS; c++) { // @unroll
          let b = q[start + min(part + c, params.quads - 1u)];
          let e = dY[start + min(part + c, params.quads - 1u)];
          near_q[c] = b;
          near_g[c] = e;
          for (var i = 0u; i < TM; i++) { // @unroll
            let a = held_k[i * QUADS + c];
            s[i] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i]))));
            let d = held_v[i * QUADS + c];
            g[i] = fma(d.w, e.w, fma(d.z, e.z, fma(d.y, e.y, fma(d.x, e.x, g[i]))));
          }
        }
      }
      for (var c = 0u; c < QUADS; c++) { // @unroll
        near_q[c] = q[start + own + c];
        near_g[c] = dY[start + own + c];
      }
    }
    let at = (first + n) * params.heads + head;
    let stat = stats[at];
    var kept = 0u;
    if (DROP == 1u) { // @static
      for (var b = 0u; b < GROUPS; b++) { // @unroll
        kept |= kept_bits(at * params.blocks + place / 4u + b) << (4u * b);
      }
      kept >>= place % 4u;
    }
    for (var i = 0u; i < TM; i++) { // @unroll
      let p = exp2(s[i] - stat.x);
      var factor = 1.0;
      if (DROP == 1u) { // @static
        factor = select(0.0, params.keep_factor, ((kept >> i) & 1u) == 1u);
      }
      s[i] = p * (factor * g[i] - stat.y);
      g[i] = factor * p;
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      for (var i = 0u; i < TM; i++) { // @unroll
        sum_k[i * QUADS + c] = fma(vec4<f32>(s[i]), near_q[c], sum_k[i * QUADS + c]);
        sum_v[i * QUADS + c] = fma(vec4<f32>(g[i]), near_g[c], sum_v[i * QUADS + c]);
      }
    }
  }

  for (var i = 0u; i < TM; i++) { // @unroll
    if (row + i < end) {
      let at = (row + i) * params.heads + head;
      for (var c = 0u; c < QUADS; c++) { // @unroll
        if (WIDTH == 4u) { // @static
          if (own + c < params.quads) {
            dK[at * params.quads + own + c] = sum_k[i * QUADS + c] * params.scale;
            dV[at * params.quads + own + c] = sum_v[i * QUADS + c];
          }
        }
        if (WIDTH == 1u) { // @static
          for (var e = 0u; e < 4u; e++) { // @unroll
            let component = (own + c) * 4u + e;
            if (component < params.dimension) {
              dK[at * params.dimension + component] = sum_k[i * QUADS + c][e] * params.scale;
              dV[at * params.dimension + component] = sum_v[i * QUADS + c][e];
            }
          }
        }
      }
    }
  }
}
