// Attention over ragged lists that streams over the keys, for GPUs: each invocation has one query in
// registers, and the workgroup shares tiles of keys and values in workgroup memory. The scores are never
// written.
//
// What it computes, its shapes and bindings, and the meaning of PARTS and DROP are those of
// ragged_attention_register.wgsl.
// Dispatch: gridFor(items, 1), folded from x into y; items = tiles * heads * PARTS with
//   tiles = rows / LANES + lists + 1, found as there.
// Numerics: f32. Running maximum and sum, TN keys at a time.

const QUADS: u32 = 4u; // @spec vec4 of a part
const PARTS: u32 = 1u; // @spec parts of a head
const DROP: u32 = 1u; // @spec
alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

const LANES: u32 = 64u; // invocations of a workgroup
const TN: u32 = 8u; // keys of a tile
const GROUPS: u32 = 2u; // of four keys of a tile
const LOWEST: f32 = -3.4028234e38;
const LN_2: f32 = 0.6931471805599453;
const LOG2_E: f32 = 1.4426950408889634;

struct Params {
  lists: u32,
  rows: u32, // of q, padding included
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
@group(0) @binding(5) var<storage, read_write> y: array<Elem>;
@group(0) @binding(6) var<storage, read_write> log_sum_exp: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> k_tile: array<vec4<f32>, TN * QUADS>;
var<workgroup> v_tile: array<vec4<f32>, TN * QUADS>;

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

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last item: they do the last one again and store nothing, so
  // that every invocation reaches every barrier.
  let index = wid.y * grid.x + wid.x;
  let item = min(index, params.items - 1u);
  let own = item % PARTS * QUADS;
  let head = item / PARTS % params.heads;
  let tile = item / PARTS / params.heads;
  var list = 0u;
  var above = params.lists + 1u;
  while (above - list > 1u) {
    let middle = (list + above) / 2u;
    if (u32(offsets[middle]) / LANES + middle <= tile) {
      list = middle;
    } else {
      above = middle;
    }
  }
  let begin = u32(offsets[list]);
  let place = (tile - begin / LANES - list) * LANES;
  var end = params.rows;
  var first = 0u;
  var keys = 0u;
  if (list < params.lists) {
    end = u32(offsets[list + 1u]);
    first = u32(key_offsets[list]);
    keys = u32(key_offsets[list + 1u]) - first;
  }
  // Tiles without a row have nothing to do.
  let stop = select(0u, keys, begin + place < end);
  let row = begin + place + lane;
  let pitch = params.heads * params.quads;
  let column = head * params.quads;
  let scale = params.scale * LOG2_E;

  // Rows beyond the list repeat its last one, and are not stored.
  let source = min(row, max(end, 1u) - 1u) * pitch + column;
  var held_q: array<vec4<f32>, QUADS>;
  var sum: array<vec4<f32>, QUADS>;
  for (var c = 0u; c < QUADS; c++) { // @unroll
    if (PARTS == 1u) { // @static
      held_q[c] = q[source + c] * scale;
    }
    sum[c] = vec4<f32>(0.0);
  }
  var top = LOWEST;
  var mass = 0.0;
  var s: array<f32, TN>;
  for (var j = 0u; j < stop; j += TN) {
    for (var t = 0u; t < TN; t++) { // @unroll
      s[t] = 0.0;
    }
    if (PARTS == 1u) { // @static
      // The tile before is read to its end.
      workgroupBarrier();
      for (var b = lane; b < TN * QUADS; b += LANES) {
        let start = (first + min(j + b / QUADS, keys - 1u)) * pitch + column;
        k_tile[b] = k[start + b % QUADS];
        v_tile[b] = v[start + b % QUADS];
      }
      workgroupBarrier();
      for (var t = 0u; t < TN; t++) { // @unroll
        for (var c = 0u; c < QUADS; c++) { // @unroll
          let a = held_q[c];
          let b = k_tile[t * QUADS + c];
          s[t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[t]))));
        }
      }
    }
    if (PARTS > 1u) { // @static
      for (var part = 0u; part < params.quads; part += QUADS) {
        workgroupBarrier();
        for (var b = lane; b < TN * QUADS; b += LANES) {
          let start = (first + min(j + b / QUADS, keys - 1u)) * pitch + column;
          k_tile[b] = k[start + min(part + b % QUADS, params.quads - 1u)];
        }
        for (var c = 0u; c < QUADS; c++) { // @unroll
          // Beyond the head lie other columns, which must not count.
          let inside = part + c < params.quads;
          held_q[c] = select(vec4<f32>(0.0), q[source + part + c] * scale, inside);
        }
        workgroupBarrier();
        for (var t = 0u; t < TN; t++) { // @unroll
          for (var c = 0u; c < QUADS; c++) { // @unroll
            let a = held_q[c];
            let b = k_tile[t * QUADS + c];
            s[t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[t]))));
          }
        }
      }
      workgroupBarrier();
      for (var b = lane; b < TN * QUADS; b += LANES) {
        let start = (first + min(j + b / QUADS, keys - 1u)) * pitch + column;
        v_tile[b] = v[start + own + b % QUADS];
      }
      workgroupBarrier();
    }
    var kept = 0u;
    if (DROP == 1u) { // @static
      let block = (row * params.heads + head) * params.blocks + j / 4u;
      for (var b = 0u; b < GROUPS; b++) { // @unroll
        kept |= kept_bits(block + b) << (4u * b);
      }
    }
    var peak = top;
    for (var t = 0u; t < TN; t++) { // @unroll
      s[t] = select(LOWEST, s[t], j + t < keys);
      peak = max(peak, s[t]);
    }
    let shrink = exp2(top - peak);
    top = peak;
    mass *= shrink;
    for (var t = 0u; t < TN; t++) { // @unroll
      s[t] = select(0.0, exp2(s[t] - peak), j + t < keys);
      mass += s[t];
      if (DROP == 1u) { // @static
        s[t] = select(0.0, s[t], ((kept >> t) & 1u) == 1u);
      }
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      sum[c] *= shrink;
      for (var t = 0u; t < TN; t++) { // @unroll
        sum[c] = fma(vec4<f32>(s[t]), v_tile[t * QUADS + c], sum[c]);
      }
    }
  }

  if (row < end && index < params.items) {
    let at = row * params.heads + head;
    var share = 0.0;
    var result = 0.0;
    if (keys > 0u) {
      share = params.keep_factor / mass;
      result = (top + log2(mass)) * LN_2;
    }
    if (own == 0u) {
      log_sum_exp[at] = result;
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      if (WIDTH == 4u) { // @static
        if (own + c < params.quads) {
          y[at * params.quads + own + c] = sum[c] * share;
        }
      }
      if (WIDTH == 1u) { // @static
        for (var e = 0u; e < 4u; e++) { // @unroll
          let component = (own + c) * 4u + e;
          if (component < params.dimension) {
            y[at * params.dimension + component] = sum[c][e] * share;
          }
        }
      }
    }
  }
}
