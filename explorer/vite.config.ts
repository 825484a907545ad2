import { promises as fs } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

/** GraphiQL inlines its fonts for seven scripts (400 kB). Keep the Latin faces: other scripts use the system's. */
function latinFontsOnly(): Plugin {
  return {
    name: "latin-fonts-only",
    enforce: "pre",
    transform(code, id) {
      if (!/@graphiql\/react\/font\/[\w-]+\.css$/.test(id)) return null;
      const faces = code.match(/@font-face\s*{[^}]*}/g) ?? [];
      return { code: faces.filter((face) => /unicode-range:\s*U\+0000-00FF/.test(face)).join("\n"), map: null };
    },
  };
}

/** Writes a .br and a .gz beside every asset, so that the server never compresses at request time. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    async writeBundle({ dir }, bundle) {
      const names = Object.keys(bundle).filter((name) => /\.(js|css|svg)$/.test(name));
      await Promise.all(
        names.map(async (name) => {
          const file = path.join(dir!, name);
          const content = await fs.readFile(file);
          await Promise.all([
            brotli(content, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 9 } }).then((b) => fs.writeFile(`${file}.br`, b)),
            gzip(content, { level: 9 }).then((b) => fs.writeFile(`${file}.gz`, b)),
          ]);
        }),
      );
    },
  };
}

export default defineConfig({
  base: "/graphql/explorer/",
  plugins: [latinFontsOnly(), precompress()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    // A file: or data: script, or an inlined icon, would need a weaker content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
    reportCompressedSize: false,
    rolldownOptions: {
      // GraphiQL titles its icons after their components' names.
      output: { keepNames: true },
      // Two hundred notes about "use client" in libraries, which only server components heed.
      onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
    },
  },
});
