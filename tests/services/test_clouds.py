"""What speaks like AWS, and mail, do what their clients ask."""

import mailbox
import smtplib
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage

import pytest
from botocore.exceptions import ClientError
from services.plugin import GetService
from support.servers import aws, only_on_loopback

S3 = [pytest.param(name, marks=pytest.mark.services(name)) for name in ("s3", "versitygw", "moto")]


@pytest.mark.parametrize("name", S3)
def test_s3_has_one_winner_of_those_who_create_an_object(service: GetService, name: str) -> None:
    server = service(name)
    client = aws(server, "s3")
    client.create_bucket(Bucket="smoke-race")

    def create(number: int) -> int:
        try:
            client.put_object(Bucket="smoke-race", Key="one", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(create, range(8)))
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {409, 412}
    assert client.get_object(Bucket="smoke-race", Key="one")["Body"].read().isdigit()
    assert only_on_loopback(server)


@pytest.mark.parametrize("name", S3[:2])
def test_s3_refuses_a_wrong_secret(service: GetService, name: str) -> None:
    server = service(name)
    wrong = {**server.addresses, "secret_key": "wrong"}
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        aws(wrong, "s3").list_buckets()


@pytest.mark.services("s3", own=True)
def test_s3_keeps_what_it_confirmed_when_it_is_killed(own_service: GetService) -> None:
    server = own_service("s3")
    client = aws(server, "s3")
    client.create_bucket(Bucket="kept")
    for number in range(50):
        client.put_object(Bucket="kept", Key=f"{number}", Body=b"x" * 1000)
    server.kill()
    server.restart()
    assert aws(server, "s3").list_objects_v2(Bucket="kept")["KeyCount"] == 50


@pytest.mark.services("moto")
def test_moto_wraps_keys_and_keeps_secrets(service: GetService) -> None:
    server = service("moto")
    keys, secrets = aws(server, "kms"), aws(server, "secretsmanager")
    key = keys.create_key(Description="smoke")["KeyMetadata"]["KeyId"]
    wrapped = keys.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"tenant": "1"})
    plain = keys.decrypt(CiphertextBlob=wrapped["CiphertextBlob"], EncryptionContext={"tenant": "1"})["Plaintext"]
    assert plain == wrapped["Plaintext"]
    with pytest.raises(ClientError, match="InvalidCiphertext"):
        keys.decrypt(CiphertextBlob=wrapped["CiphertextBlob"], EncryptionContext={"tenant": "2"})
    secrets.create_secret(Name="smoke", SecretString="hidden")
    assert secrets.get_secret_value(SecretId="smoke")["SecretString"] == "hidden"
    assert only_on_loopback(server)


@pytest.mark.services("elasticmq")
def test_elasticmq_moves_what_fails_to_the_dead_letters(service: GetService) -> None:
    server = service("elasticmq")
    client = aws(server, "sqs")
    dead = client.create_queue(QueueName="smoke-dead")["QueueUrl"]
    target = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn": "{target}", "maxReceiveCount": "1"}}'
    queue = client.create_queue(QueueName="smoke", Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"})["QueueUrl"]
    client.send_message(QueueUrl=queue, MessageBody="한글")
    assert client.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "한글"
    assert not client.receive_message(QueueUrl=queue).get("Messages")
    assert client.receive_message(QueueUrl=dead, WaitTimeSeconds=2)["Messages"][0]["Body"] == "한글"
    assert only_on_loopback(server)


@pytest.mark.services("mail")
def test_mail_keeps_a_letter(service: GetService) -> None:
    server = service("mail")
    letter = EmailMessage()
    letter["Subject"], letter["From"], letter["To"] = "주간 보고서", "jangbu@example.com", "shop@example.com"
    letter.set_content("매출 1,000원")
    with smtplib.SMTP(server["host"], int(server["port"]), timeout=10) as client:
        assert client.send_message(letter) == {}
    kept = mailbox.Maildir(server["maildir"], create=False)
    found = [each for each in kept if each["X-RcptTo"] == "shop@example.com"]
    assert len(found) == 1
    assert b"1,000" in found[0].get_payload(decode=True)
    kept.close()
    assert only_on_loopback(server)


@pytest.mark.services("dynamodb")
def test_dynamodb_writes_on_a_condition(service: GetService) -> None:
    server = service("dynamodb")
    client = aws(server, "dynamodb")
    client.create_table(
        TableName="smoke",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"id": {"S": "1"}, "note": {"S": "한글"}}
    client.put_item(TableName="smoke", Item=item, ConditionExpression="attribute_not_exists(id)")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        client.put_item(TableName="smoke", Item=item, ConditionExpression="attribute_not_exists(id)")
    assert client.get_item(TableName="smoke", Key={"id": {"S": "1"}})["Item"] == item
    assert only_on_loopback(server)
