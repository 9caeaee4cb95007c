"""Iceberg's own REST catalog: the servlet of its tests over its JDBC catalog in the service postgres, files in the service s3.

Each place (`s3://bucket/prefix`) is a warehouse of its own, known by a prefix that `/v1/config` tells. A request needs a token, the
lasting one or one fetched with the client's credential. Who asks for a table's storage credentials is told the keys of S3.
"""

from collections.abc import Mapping
from pathlib import Path

from services.cache import SMALL_JVM, Cache, java
from services.service import HOST, Command, Place, Service, read

VERSION, CLIENT, SECRET, TOKEN = "1.11.0", "jangbu", "rest-secret", "rest-lasting-token"
CLASSES = f"iceberg-rest-catalogs-{VERSION}"
JARS = (
    f"org.apache.iceberg:iceberg-core:{VERSION}",
    f"org.apache.iceberg:iceberg-core:{VERSION}:tests",
    f"org.apache.iceberg:iceberg-aws:{VERSION}",
    *(f"software.amazon.awssdk:{name}:2.42.33" for name in ("s3", "sts", "kms", "apache-client")),
    "org.eclipse.jetty.ee10:jetty-ee10-servlet:12.0.16",
    "org.postgresql:postgresql:42.7.7",
    "org.slf4j:slf4j-simple:2.0.17",
)
SOURCE = """\
import jakarta.servlet.http.*;
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.iceberg.aws.s3.S3FileIO;
import org.apache.iceberg.jdbc.*;
import org.apache.iceberg.rest.*;
import org.apache.iceberg.rest.responses.*;
import org.eclipse.jetty.ee10.servlet.*;
import org.eclipse.jetty.server.*;

public class Catalogs extends HttpServlet {
    static final Properties SETTINGS = new Properties();
    static final Map<String, String> IO = new HashMap<>();
    final Map<String, Long> tokens = new ConcurrentHashMap<>();
    final Map<String, Serving> warehouses = new ConcurrentHashMap<>();
    JdbcClientPool pool;
    S3FileIO io;

    /** One warehouse's. */
    static class Serving extends RESTCatalogServlet {
        Serving(RESTCatalogAdapter adapter) { super(adapter); }
        void serve(HttpServletRequest request, HttpServletResponse response) throws Exception { service(request, response); }
    }

    static class Vending extends RESTCatalogAdapter {
        Vending(JdbcCatalog catalog) { super(catalog); }

        @Override
        protected <T extends RESTResponse> T execute(HTTPRequest request, Class<T> type, Consumer<ErrorResponse> failed,
                Consumer<Map<String, String>> headers) {
            T made = super.execute(request, type, failed, headers);
            boolean asked = request.headers().entries("X-Iceberg-Access-Delegation").stream()
                .anyMatch(each -> each.value().contains("vended-credentials"));
            if (!asked || !(made instanceof LoadTableResponse)) return made;
            LoadTableResponse table = (LoadTableResponse) made;
            return type.cast(LoadTableResponse.builder().withTableMetadata(table.tableMetadata()).addAllConfig(table.config())
                .addConfig("s3.access-key-id", SETTINGS.getProperty("s3.access-key-id"))
                .addConfig("s3.secret-access-key", SETTINGS.getProperty("s3.secret-access-key")).build());
        }
    }

    Serving opened(String warehouse) {
        JdbcCatalog catalog = new JdbcCatalog(ignored -> io, ignored -> pool, true);
        String uri = SETTINGS.getProperty("uri");
        catalog.initialize(warehouse, Map.of("uri", uri, "warehouse", warehouse, "jdbc.schema-version", "V1"));
        return new Serving(new Vending(catalog));
    }

    @Override
    public void init() {
        Map<String, String> settings = new HashMap<>();
        SETTINGS.forEach((name, value) -> settings.put((String) name, (String) value));
        pool = new JdbcClientPool(8, settings.get("uri"), settings);
        io = new S3FileIO();
        io.initialize(settings);
        tokens.put(settings.get("token"), Long.MAX_VALUE);
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType("application/json");
        String path = request.getRequestURI();
        if (path.equals("/health")) return;
        if (path.equals("/v1/oauth/tokens")) { grant(request, response); return; }
        String bearer = Objects.toString(request.getHeader("Authorization"), "");
        long until = tokens.getOrDefault(bearer.replaceFirst("^Bearer ", ""), 0L);
        if (until < System.currentTimeMillis()) {
            fail(response, 401, "NotAuthorizedException", "this token isn't known");
            return;
        }
        if (path.equals("/v1/config")) { configure(request, response); return; }
        String[] parts = path.split("/", 4);
        String warehouse = new String(Base64.getUrlDecoder().decode(parts[2]), StandardCharsets.UTF_8);
        try {
            warehouses.computeIfAbsent(warehouse, this::opened).serve(new HttpServletRequestWrapper(request) {
                @Override
                public String getRequestURI() { return "/v1/" + parts[3]; }
            }, response);
        } catch (Exception error) {
            error.printStackTrace();
            fail(response, 500, "RuntimeException", "failed");
        }
    }

    void configure(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String warehouse = Objects.toString(request.getParameter("warehouse"), "");
        if (!warehouse.startsWith("s3://")) {
            fail(response, 404, "NotFoundException", "there is no such warehouse");
            return;
        }
        String prefix = Base64.getUrlEncoder().withoutPadding().encodeToString(warehouse.getBytes(StandardCharsets.UTF_8));
        response.getWriter().write("{\\"defaults\\": {}, \\"overrides\\": {\\"prefix\\": \\"" + prefix + "\\"}}");
    }

    void grant(HttpServletRequest request, HttpServletResponse response) throws IOException {
        boolean known = SETTINGS.getProperty("client").equals(request.getParameter("client_id"))
            && SETTINGS.getProperty("secret").equals(request.getParameter("client_secret"));
        if (!known) {
            response.setStatus(401);
            response.getWriter().write("{\\"error\\": \\"invalid_client\\"}");
            return;
        }
        long seconds = Long.parseLong(SETTINGS.getProperty("token-seconds"));
        String token = UUID.randomUUID().toString();
        tokens.put(token, System.currentTimeMillis() + seconds * 1000);
        String form = "{\\"access_token\\": \\"%s\\", \\"token_type\\": \\"bearer\\", \\"expires_in\\": %d}";
        response.getWriter().write(String.format(form, token, seconds));
    }

    static void fail(HttpServletResponse response, int code, String type, String words) throws IOException {
        response.setStatus(code);
        String form = "{\\"error\\": {\\"message\\": \\"%s\\", \\"type\\": \\"%s\\", \\"code\\": %d}}";
        response.getWriter().write(String.format(form, words, type, code));
    }

    public static void main(String[] arguments) throws Exception {
        try (Reader file = Files.newBufferedReader(Path.of(arguments[0]))) { SETTINGS.load(file); }
        int port = Integer.parseInt(SETTINGS.getProperty("port"));
        Server server = new Server(new InetSocketAddress(SETTINGS.getProperty("host"), port));
        ServletContextHandler context = new ServletContextHandler();
        ServletHolder holder = new ServletHolder(new Catalogs());
        holder.setInitOrder(1);
        context.addServlet(holder, "/*");
        context.getServletHandler().setDecodeAmbiguousURIs(true);
        for (var connector : server.getConnectors())
            ((ServerConnector) connector).getConnectionFactory(HttpConnectionFactory.class).getHttpConfiguration()
                .setUriCompliance(org.eclipse.jetty.http.UriCompliance.UNSAFE);
        server.setHandler(context);
        server.start();
        server.join();
    }
}
"""


class IcebergRest(Service):
    name = "iceberg_rest"
    about = f"Iceberg {VERSION}: REST catalog with tokens, tables in PostgreSQL and S3"
    uses = ("postgres", "s3")

    def fetch(self, cache: Cache) -> Path:
        jars = cache.maven_jars(f"iceberg-rest-{VERSION}", *JARS)
        cache.java_classes(CLASSES, jars, "Catalogs", SOURCE)
        return jars

    def prepare(self, at: Place) -> None:
        postgres, s3 = at.uses["postgres"], at.uses["s3"]
        settings = {
            "host": HOST,
            "port": at.port,
            "client": CLIENT,
            "secret": SECRET,
            "token": TOKEN,
            "token-seconds": 3600,
            "uri": f"jdbc:postgresql://{postgres['host']}:{postgres['port']}/postgres",
            "jdbc.user": postgres["user"],
            "jdbc.password": postgres["password"],
            "jdbc.schema-version": "V1",
            "s3.endpoint": s3["url"],
            "s3.path-style-access": "true",
            "s3.access-key-id": s3["access_key"],
            "s3.secret-access-key": s3["secret_key"],
            "client.region": s3["region"],
            "http-client.type": "apache",
        }
        (at.folder / "catalogs.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def commands(self, at: Place) -> Mapping[str, Command]:
        properties = [f"-Djava.io.tmpdir={at.folder / 'tmp'}", "-Daws.requestChecksumCalculation=when_required"]
        jvm = ["-Xmx256m", *SMALL_JVM, *properties]
        path = f"{at.software}/*:{at.software.parent / CLASSES}"
        return {"main": Command([java(17, at.cache), *jvm, "-cp", path, "Catalogs", str(at.folder / "catalogs.properties")])}

    def is_ready(self, at: Place) -> bool:
        return read(f"http://{HOST}:{at.port}/health") is not None

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}/", "credential": f"{CLIENT}:{SECRET}", "token": TOKEN}


SERVICE = IcebergRest()
