// The gradients of keys and values of attention over ragged lists, streaming over the queries, for GPUs:
// each invocation has one key in registers, and the workgroup shares tiles of queries.
//
// What it computes, its shapes and bindings are those of ragged_attention_keys_register.wgsl; how it is
// spread is described in ragged_attention_tiled.wgsl.
// Numerics: f32, in the order of the queries.

const QUADS: u32 = 4u; // @spec vec4 of a part
const PARTS: u32 = 1u; // @spec parts of a head
const DROP: u32 = 1u; // @spec
alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

const LANES: u32 = 64u; // invocations of a workgroup
const TN: u32 = 8u; // queries of a tile
const GROUPS: u32 = 16u; // of four keys of a workgroup
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

var<workgroup> q_tile: array<vec4<f32>, TN * QUADS>;
var<workgroup> g_tile: array<vec4<f32>, TN * QUADS>;
var<workgroup> stat_tile: array<vec2<f32>, TN>;
var<workgroup> kept_tile: array<u32, TN * GROUPS>;

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
    if (u32(key_offsets[middle]) / LANES + middle <= tile) {
      list = middle;
    } else {
      above = middle;
    }
  }
  let begin = u32(key_offsets[list]);
  let place = (tile - begin / LANES - list) * LANES;
  var end = params.rows;
  var first = 0u;
  var queries = 0u;
  if (list < params.lists) {
    end = u32(key_offsets[list + 1u]);
    first = u32(offsets[list]);
    queries = u32(offsets[list + 1u]) - first;
  }
  // Tiles without a row have nothing to do.
  let stop = select(0u, queries, begin + place < end);
  let row = begin + place + lane;
  let pitch = params.heads * params.quads;
  let column = head * params.quads;
  let scale = params.scale * LOG2_E;

  // Rows beyond the list repeat its last one, and are not stored.
  let source = min(row, max(end, 1u) - 1u) * pitch + column;
  var held_k: array<vec4<f32>, QUADS>;
  var held_v: array<vec4<f32>, QUADS>;
  var sum_k: array<vec4<f32>, QUADS>;
  var sum_v: array<vec4<f32>, QUADS>;
  for (var c = 0u; c < QUADS; c++) { // @unroll
    if (PARTS == 1u) { // @static
      held_k[c] = k[source + c] * scale;
      held_v[c] = v[source + c];
    }
    sum_k[c] = vec4<f32>(0.0);
    sum_v[c] = vec4<f32>(0.0);
  }
  var s: array<f32, TN>;
  var g: array<f32, TN>;
  for (var n = 0u; n < stop; n += TN) {
    for (var t = 0u; t < TN; t++) { // @unroll
      s[t] = 0.0;
      g[t] = 0.0;
    }
    if (PARTS == 1u) { // @static
      // The tile before is read to its end.
      workgroupBarrier();
      for (var b = lane; b < TN * QUADS; b += LANES) {
        let start = (first + min(n + b / QUADS, queries - 1u)) * pitch + column;
        q_tile[b] = q[start + b % QUADS];
        g_tile[b] = dY[start + b % QUADS];
      }
      if (lane < TN) {
        stat_tile[lane] = stats[(first + min(n + lane, queries - 1u)) * params.heads + head];
      }
      if (DROP == 1u) { // @static
        for (var b = lane; b < TN * GROUPS; b += LANES) {
          let at = (first + n + b / GROUPS) * params.heads + head;
          kept_tile[b] = kept_bits(at * params.blocks + place / 4u + b % GROUPS);
        }
      }
      workgroupBarrier();
      for (var t = 0u; t < TN; t++) { // @unroll
        for (var c = 0u; c < QUADS; c++) { // @unroll
          let a = held_k[c];
          let b = q_tile[t * QUADS + c];
          s[t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[t]))));
          let d = held_v[c];
          let e = g_tile[t * QUADS + c];
          g[t] = fma(d.w, e.w, fma(d.z, e.z, fma(d.y, e.y, fma(d.x, e.x, g[t]))));
        }
      }
    }
    if (PARTS > 1u) { // @static
      for (var part = 0u; part < params.quads; part += QUADS) {
        workgroupBarrier();
        for (var b = lane; b < TN * QUADS; b += LANES) {
          let start = (first + min(n + b / QUADS, queries - 1u)) * pitch + column;
          q_tile[b] = q[start + min(part + b % QUADS, params.quads - 1u)];
          g_tile[b] = dY[start + min(part + b % QUADS, params.quads - 1u)];
        }
        for (var c = 0u; c < QUADS; c++) { // @unroll
          // Beyond the head lie other columns, which must not count.
          let inside = part + c < params.quads;
          held_k[c] = select(vec4<f32>(0.0), k[source + part + c] * scale, inside);
          held_v[c] = select(vec4<f32>(0.0), v[source + part + c], inside);
        }
        workgroupBarrier();
        for (var t = 0u; t < TN; t++) { // @unroll
          for (var c = 0u; c < QUADS; c++) { // @unroll
            let a = held_k[c];
            let b = q_tile[t * QUADS + c];
            s[t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[t]))));
            let d = held_v[c];
            let e = g_tile[t * QUADS + c];
            g[t] = fma(d.w, e.w, fma(d.z, e.z, fma(d.y, e.y, fma(d.x, e.x, g[t]))));
          }
        }
      }
      workgroupBarrier();
      for (var b = lane; b < TN * QUADS; b += LANES) {
        let start = (first + min(n + b / QUADS, queries - 1u)) * pitch + column;
        q_tile[b] = q[start + own + b % QUADS];
        g_tile[b] = dY[start + own + b % QUADS];
      }
      if (lane < TN) {
        stat_tile[lane] = stats[(first + min(n + lane, queries - 1u)) * params.heads + head];
      }
      if (DROP == 1u) { // @static
        for (var b = lane; b < TN * GROUPS; b += LANES) {
          let at = (first + n + b / GROUPS) * params.heads + head;
          kept_tile[b] = kept_bits(at * params.blocks + place / 4u + b % GROUPS);
        }
      }
      workgroupBarrier();
    }
    for (var t = 0u; t < TN; t++) { // @unroll
      let stat = stat_tile[t];
      var factor = 1.0;
      if (DROP == 1u) { // @static
        let stays = (kept_tile[t * GROUPS + lane / 4u] >> (lane % 4u)) & 1u;
        factor = select(0.0, params.keep_factor, stays == 1u);
      }
      let p = select(0.0, exp2(s[t] - stat.x), n + t < queries);
      s[t] = p * (factor * g[t] - stat.y);
      g[t] = p * factor;
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      for (var t = 0u; t < TN; t++) { // @unroll
        sum_k[c] = fma(vec4<f32>(s[t]), q_tile[t * QUADS + c], sum_k[c]);
        sum_v[c] = fma(vec4<f32>(g[t]), g_tile[t * QUADS + c], sum_v[c]);
      }
    }
  }

  if (row < end && index < params.items) {
    let at = row * params.heads + head;
    for (var c = 0u; c < QUADS; c++) { // @unroll
      if (WIDTH == 4u) { // @static
        if (own + c < params.quads) {
          dK[at * params.quads + own + c] = sum_k[c] * params.scale;
          dV[at * params.quads + own + c] = sum_v[c];
        }
      }
      if (WIDTH == 1u) { // @static
        for (var e = 0u; e < 4u; e++) { // @unroll
          let component = (own + c) * 4u + e;
          if (component < params.dimension) {
            dK[at * params.dimension + component] = sum_k[c][e] * params.scale;
            dV[at * params.dimension + component] = sum_v[c][e];
          }
        }
      }
    }
  }
}
