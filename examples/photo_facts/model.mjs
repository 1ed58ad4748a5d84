// What a photograph says of itself: camera, time and place from its EXIF, its colours, and a hash that draws a preview of it.
import exifr from "exifr";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import { rgbaToThumbHash } from "thumbhash";

export class Reject extends Error {}         // this image will never do
const LONGEST = 100;                         // pixels of the small copy that is looked at: thumbhash takes no more
const MEGAPIXELS_MAX = 200;
const MEMORY_MB_MAX = 2048;
const LABEL_MIN = 0.1;                       // the least share of a colour that is told
const EXIF = ["Make", "Model", "LensModel", "DateTimeOriginal", "OffsetTimeOriginal", "ExposureTime", "FNumber", "ISO", "FocalLength",
  "Software", "Orientation", "GPSLatitude", "GPSLatitudeRef", "GPSLongitude", "GPSLongitudeRef"];

export async function predict(bytes) {
  const exif = await readExif(bytes), pixels = decode(bytes);
  if (!exif && !pixels) throw new Reject("neither pixels nor EXIF can be read: JPEG and PNG are, of others the EXIF");
  const fields = facts(exif ?? {}), items = [];
  if (pixels) {
    const small = upright(shrink(pixels), exif?.Orientation ?? 1), colours = look(small);
    const turned = (exif?.Orientation ?? 1) >= 5;
    [fields.width, fields.height] = turned ? [pixels.height, pixels.width] : [pixels.width, pixels.height];
    [fields.brightness, fields.colour] = [colours.brightness, colours.mean];
    items.push(...colours.names.filter(([, share]) => share >= LABEL_MIN).map(([label, score]) => ({ type: "label", label, score })));
    items.push({ type: "hash", algo: "thumbhash", value: Buffer.from(rgbaToThumbHash(small.width, small.height, small.data)).toString("hex") });
  }
  const told = [fields.camera, fields.taken_at, items[0]?.label && `mostly ${items[0].label}`].filter(Boolean);
  return { items, fields, summary: told.join(" · ") || null };
}

async function readExif(bytes) {
  try {
    return await exifr.parse(bytes, { pick: EXIF, gps: true, reviveValues: false, translateValues: false });
  } catch {
    return undefined;                        // none that could be read
  }
}

function facts(exif) {
  const { latitude, longitude, DateTimeOriginal: taken, OffsetTimeOriginal: offset } = exif, fields = {};
  const make = text(exif.Make), model = text(exif.Model);
  // "2019:05:04 10:00:00" is a local time
  const when = /^(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)/.exec(text(taken) ?? "");
  if (model) fields.camera = make && !model.startsWith(make) ? `${make} ${model}` : model;
  if (when) fields.taken_at = `${when[1]}-${when[2]}-${when[3]}T${when[4]}${text(offset) ?? ""}`;
  if (Number.isFinite(latitude) && Number.isFinite(longitude)) Object.assign(fields, { latitude, longitude });
  for (const name of ["LensModel", "ExposureTime", "FNumber", "ISO", "FocalLength", "Software"]) {
    const value = exif[name];
    if (Number.isFinite(value)) fields[`exif.${name}`] = value;
    else if (text(value)) fields[`exif.${name}`] = text(value);
  }
  return fields;
}

function text(value) {
  return typeof value === "string" ? value.replace(/[\0-\x1f]/g, " ").trim().slice(0, 200) || undefined : undefined;
}

// Width, height and RGBA of the stored pixels; nothing of other formats.
function decode(bytes) {
  try {
    if (bytes[0] === 0xff && bytes[1] === 0xd8) {
      return jpeg.decode(bytes, { useTArray: true, maxResolutionInMP: MEGAPIXELS_MAX, maxMemoryUsageInMB: MEMORY_MB_MAX });
    }
    return bytes.subarray(0, 8).equals(Buffer.from("\x89PNG\r\n\x1a\n", "latin1")) ? PNG.sync.read(bytes) : undefined;
  } catch (error) {
    throw new Reject(`cannot be decoded: ${error.message ?? error}`);
  }
}

// A copy of at most LONGEST pixels, each the mean of those that it stands for.
function shrink({ width, height, data }) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const small = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const sums = new Float64Array(small.width * small.height * 5);
  for (let y = 0, from = 0; y < height; y++) {
    const row = Math.min(small.height - 1, Math.floor((y * small.height) / height)) * small.width;
    for (let x = 0; x < width; x++, from += 4) {
      const to = 5 * (row + Math.min(small.width - 1, Math.floor((x * small.width) / width)));
      for (let channel = 0; channel < 4; channel++) sums[to + channel] += data[from + channel];
      sums[to + 4]++;
    }
  }
  small.data = new Uint8Array(small.width * small.height * 4);
  for (let pixel = 0; pixel < small.width * small.height; pixel++) {
    for (let channel = 0; channel < 4; channel++) small.data[4 * pixel + channel] = sums[5 * pixel + channel] / sums[5 * pixel + 4];
  }
  return small;
}

// Turned as its EXIF orientation says.
function upright({ width, height, data }, orientation) {
  const turned = orientation >= 5, to = { width: turned ? height : width, height: turned ? width : height, data: new Uint8Array(data.length) };
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      let [u, v] = turned ? [y, x] : [x, y];
      if ([2, 3, 7, 8].includes(orientation)) u = width - 1 - u;
      if ([3, 4, 6, 7].includes(orientation)) v = height - 1 - v;
      to.data.set(data.subarray(4 * (v * width + u), 4 * (v * width + u) + 4), 4 * (y * to.width + x));
    }
  }
  return to;
}

// The mean colour, its brightness from 0 to 1, and which share of the pixels one would call by which name.
function look({ data }) {
  const counts = new Map(), sum = [0, 0, 0], pixels = data.length / 4;
  for (let at = 0; at < data.length; at += 4) {
    const rgb = data.subarray(at, at + 3), name = nameOf(...rgb);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    rgb.forEach((value, channel) => { sum[channel] += value; });
  }
  const mean = sum.map((value) => Math.round(value / pixels));
  return {
    mean: `#${mean.map((value) => value.toString(16).padStart(2, "0")).join("")}`,
    brightness: round((0.2126 * mean[0] + 0.7152 * mean[1] + 0.0722 * mean[2]) / 255),
    names: [...counts].map(([name, count]) => [name, round(count / pixels)]).sort((a, b) => b[1] - a[1]),
  };
}

function nameOf(r, g, b) {
  const most = Math.max(r, g, b), spread = most - Math.min(r, g, b), light = (most + Math.min(r, g, b)) / 510;
  if (light < 0.12) return "black";
  if (spread < 30 || spread / most < 0.15) return light > 0.85 ? "white" : "grey";
  const sector = most === r ? ((g - b) / spread + 6) % 6 : most === g ? (b - r) / spread + 2 : (r - g) / spread + 4, hue = 60 * sector;
  if (hue >= 15 && hue < 45) return light < 0.4 ? "brown" : "orange";
  const names = [[15, "red"], [70, "yellow"], [165, "green"], [255, "blue"], [290, "purple"], [345, "pink"], [360, "red"]];
  return names.find(([end]) => hue < end)[1];
}

function round(value) {
  return Math.round(1e4 * value) / 1e4;
}
