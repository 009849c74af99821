// An OpenID Connect provider for the login tests. Arguments: redirect URI, file with accounts (JSON, read at each use).
// Prints its address when it is ready. Any password is right: the provider's own development pages ask for one.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [redirectUri, accountsFile] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: process.env.OIDC_CLIENT_ID,
        client_secret: process.env.OIDC_CLIENT_SECRET,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    claims: {
      openid: ["sub"],
      email: ["email", "email_verified"],
      profile: ["given_name", "family_name", "preferred_username", "groups"],
      groups: ["groups"],
    },
    cookies: { keys: ["only for tests"] },
    pkce: { required: () => true },
    async findAccount(ctx, id) {
      const accounts = JSON.parse(readFileSync(accountsFile, "utf8"));
      const claims = accounts[id];
      return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
    },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
