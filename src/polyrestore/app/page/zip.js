// A zip archive of files that are compressed already, so that they are stored as they are (PKWARE APPNOTE 4.3).

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

// Numbers of 2 or 4 bytes, lowest first, given as [number, bytes].
function pack(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, length]) => sum + length, 0)));
  let place = 0;
  for (const [value, length] of fields) {
    if (length === 2) view.setUint16(place, value, true);
    else view.setUint32(place, value, true);
    place += length;
  }
  return new Uint8Array(view.buffer);
}

function dosTime(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return [time, ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate()];
}

// Names that are taken get "-2", "-3", ... before their ending.
function freeName(wanted, taken) {
  const dot = wanted.lastIndexOf(".");
  const [stem, ending] = dot > 0 ? [wanted.slice(0, dot), wanted.slice(dot)] : [wanted, ""];
  let name = wanted;
  for (let number = 2; taken.has(name.toLowerCase()); number++) name = `${stem}-${number}${ending}`;
  taken.add(name.toLowerCase());
  return name;
}

// Return a Blob of entries { name, blob }.
export async function zip(entries) {
  const [time, day] = dosTime(new Date());
  const taken = new Set();
  const parts = [];
  const directory = [];
  let place = 0;
  for (const { name, blob } of entries) {
    const encoded = new TextEncoder().encode(freeName(name, taken));
    const sum = checksum(new Uint8Array(await blob.arrayBuffer()));
    // Version 2.0, names in UTF-8, stored.
    const common = [[20, 2], [0x0800, 2], [0, 2], [time, 2], [day, 2], [sum, 4], [blob.size, 4], [blob.size, 4], [encoded.length, 2], [0, 2]];
    const local = pack([[0x04034b50, 4], ...common]);
    directory.push(pack([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [place, 4]]), encoded);
    parts.push(local, encoded, blob);
    place += local.length + encoded.length + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const count = entries.length;
  const end = pack([[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [length, 4], [place, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
