export default async function (ctx) {
  return { hello: ctx.input?.name ?? "world", from: "node" };
}
